//! AVPs of 3GPP for charging: TS 29.061 section 16.4.7, TS 32.299 section 7.2,
//! and those of TS 29.212, 29.214, 29.229 and 29.329 that Gy, Rf and S6a carry.

avps! { vendor 10415 {
    1 TGPP_IMSI "3GPP-IMSI" UTF8String MayClear "TS 29.061 section 16.4.7";
    2 TGPP_CHARGING_ID "3GPP-Charging-Id" OctetString MayClear "TS 29.061 section 16.4.7";
    3 TGPP_PDP_TYPE "3GPP-PDP-Type" Enumerated MayClear "TS 29.061 section 16.4.7" [
        0 "IPv4", 1 "PPP", 2 "IPv6", 3 "IPv4v6",
    ];
    4 TGPP_CG_ADDRESS "3GPP-CG-Address" OctetString MayClear "TS 29.061 section 16.4.7";
    5 TGPP_GPRS_NEGOTIATED_QOS_PROFILE "3GPP-GPRS-Negotiated-QoS-Profile" UTF8String MayClear "TS 29.061 section 16.4.7";
    6 TGPP_SGSN_ADDRESS "3GPP-SGSN-Address" OctetString MayClear "TS 29.061 section 16.4.7";
    7 TGPP_GGSN_ADDRESS "3GPP-GGSN-Address" OctetString MayClear "TS 29.061 section 16.4.7";
    8 TGPP_IMSI_MCC_MNC "3GPP-IMSI-MCC-MNC" UTF8String MayClear "TS 29.061 section 16.4.7";
    9 TGPP_GGSN_MCC_MNC "3GPP-GGSN-MCC-MNC" UTF8String MayClear "TS 29.061 section 16.4.7";
    10 TGPP_NSAPI "3GPP-NSAPI" OctetString MayClear "TS 29.061 section 16.4.7";
    11 TGPP_SESSION_STOP_INDICATOR "3GPP-Session-Stop-Indicator" OctetString MayClear "TS 29.061 section 16.4.7";
    12 TGPP_SELECTION_MODE "3GPP-Selection-Mode" UTF8String MayClear "TS 29.061 section 16.4.7";
    13 TGPP_CHARGING_CHARACTERISTICS "3GPP-Charging-Characteristics" UTF8String MayClear "TS 29.061 section 16.4.7";
    18 TGPP_SGSN_MCC_MNC "3GPP-SGSN-MCC-MNC" UTF8String MayClear "TS 29.061 section 16.4.7";
    20 TGPP_IMEISV "3GPP-IMEISV" OctetString MayClear "TS 29.061 section 16.4.7";
    21 TGPP_RAT_TYPE "3GPP-RAT-Type" OctetString MayClear "TS 29.061 section 16.4.7";
    22 TGPP_USER_LOCATION_INFO "3GPP-User-Location-Info" OctetString MayClear "TS 29.061 section 16.4.7";
    23 TGPP_MS_TIMEZONE "3GPP-MS-TimeZone" OctetString MayClear "TS 29.061 section 16.4.7";
    24 TGPP_CAMEL_CHARGING_INFO "3GPP-CAMEL-Charging-Info" OctetString MayClear "TS 29.061 section 16.4.7";
    505 AF_CHARGING_IDENTIFIER "AF-Charging-Identifier" OctetString MaySet "TS 29.214 section 5.3";
    509 FLOW_NUMBER "Flow-Number" Unsigned32 MaySet "TS 29.214 section 5.3";
    510 FLOWS "Flows" Grouped MaySet "TS 29.214 section 5.3";
    515 MAX_REQUESTED_BANDWIDTH_DL "Max-Requested-Bandwidth-DL" Unsigned32 MaySet "TS 29.214 section 5.3.14";
    516 MAX_REQUESTED_BANDWIDTH_UL "Max-Requested-Bandwidth-UL" Unsigned32 MaySet "TS 29.214 section 5.3.15";
    518 MEDIA_COMPONENT_NUMBER "Media-Component-Number" Unsigned32 MaySet "TS 29.214 section 5.3";
    531 SPONSOR_IDENTITY "Sponsor-Identity" UTF8String MaySet "TS 29.214 section 5.3";
    532 APPLICATION_SERVICE_PROVIDER_IDENTITY "Application-Service-Provider-Identity" UTF8String MaySet "TS 29.214 section 5.3";
    554 EXTENDED_MAX_REQUESTED_BW_DL "Extended-Max-Requested-BW-DL" Unsigned32 MayClear "TS 29.214 section 5.3";
    555 EXTENDED_MAX_REQUESTED_BW_UL "Extended-Max-Requested-BW-UL" Unsigned32 MayClear "TS 29.214 section 5.3";
    600 VISITED_NETWORK_IDENTIFIER "Visited-Network-Identifier" OctetString MaySet "TS 29.229 section 6.3.1";
    628 SUPPORTED_FEATURES "Supported-Features" Grouped MayClear "TS 29.229 section 6.3.29";
    629 FEATURE_LIST_ID "Feature-List-ID" Unsigned32 MayClear "TS 29.229 section 6.3.30";
    630 FEATURE_LIST "Feature-List" Unsigned32 MayClear "TS 29.229 section 6.3.31";
    701 MSISDN "MSISDN" OctetString MaySet "TS 29.329 section 6.3.2";
    846 CG_ADDRESS "CG-Address" Address MaySet "TS 32.299 section 7.2";
    847 GGSN_ADDRESS "GGSN-Address" Address MaySet "TS 32.299 section 7.2";
    848 SERVED_PARTY_IP_ADDRESS "Served-Party-IP-Address" Address MaySet "TS 32.299 section 7.2.187";
    863 SERVICE_SPECIFIC_DATA "Service-Specific-Data" UTF8String MaySet "TS 32.299 section 7.2";
    865 PS_FURNISH_CHARGING_INFORMATION "PS-Furnish-Charging-Information" Grouped MaySet "TS 32.299 section 7.2";
    868 TIME_QUOTA_THRESHOLD "Time-Quota-Threshold" Unsigned32 MaySet "TS 32.299 section 7.2";
    869 VOLUME_QUOTA_THRESHOLD "Volume-Quota-Threshold" Unsigned32 MaySet "TS 32.299 section 7.2";
    870 TRIGGER_TYPE "Trigger-Type" Enumerated MaySet "TS 32.299 section 7.2" [
        1 "CHANGE_IN_SGSN_IP_ADDRESS", 2 "CHANGE_IN_QOS", 3 "CHANGE_IN_LOCATION", 4 "CHANGE_IN_RAT",
        5 "CHANGE_IN_UE_TIMEZONE",
    ];
    871 QUOTA_HOLDING_TIME "Quota-Holding-Time" Unsigned32 MaySet "TS 32.299 section 7.2";
    872 REPORTING_REASON "Reporting-Reason" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "THRESHOLD", 1 "QHT", 2 "FINAL", 3 "QUOTA_EXHAUSTED", 4 "VALIDITY_TIME", 5 "OTHER_QUOTA_TYPE",
        6 "RATING_CONDITION_CHANGE", 7 "FORCED_REAUTHORISATION", 8 "POOL_EXHAUSTED", 9 "UNUSED_QUOTA_TIMER",
    ];
    873 SERVICE_INFORMATION "Service-Information" Grouped MaySet "TS 32.299 section 7.2";
    874 PS_INFORMATION "PS-Information" Grouped MaySet "TS 32.299 section 7.2";
    875 WLAN_INFORMATION "WLAN-Information" Grouped MaySet "TS 32.299 section 7.2";
    876 IMS_INFORMATION "IMS-Information" Grouped MaySet "TS 32.299 section 7.2";
    877 MMS_INFORMATION "MMS-Information" Grouped MaySet "TS 32.299 section 7.2";
    878 LCS_INFORMATION "LCS-Information" Grouped MaySet "TS 32.299 section 7.2";
    879 POC_INFORMATION "PoC-Information" Grouped MaySet "TS 32.299 section 7.2";
    880 MBMS_INFORMATION "MBMS-Information" Grouped MaySet "TS 32.299 section 7.2";
    881 QUOTA_CONSUMPTION_TIME "Quota-Consumption-Time" Unsigned32 MaySet "TS 32.299 section 7.2";
    1004 CHARGING_RULE_BASE_NAME "Charging-Rule-Base-Name" UTF8String MaySet "TS 29.212 section 5.3.3";
    1016 QOS_INFORMATION "QoS-Information" Grouped MaySet "TS 29.212 section 5.3.16";
    1020 BEARER_IDENTIFIER "Bearer-Identifier" OctetString MaySet "TS 29.212 section 5.3";
    1025 GUARANTEED_BITRATE_DL "Guaranteed-Bitrate-DL" Unsigned32 MaySet "TS 29.212 section 5.3";
    1026 GUARANTEED_BITRATE_UL "Guaranteed-Bitrate-UL" Unsigned32 MaySet "TS 29.212 section 5.3";
    1028 QOS_CLASS_IDENTIFIER "QoS-Class-Identifier" Enumerated MaySet "TS 29.212 section 5.3.17";
    1032 RAT_TYPE "RAT-Type" Enumerated MayClear "TS 29.212 section 5.3.31" [
        0 "WLAN", 1 "VIRTUAL", 1000 "UTRAN", 1001 "GERAN", 1002 "GAN", 1003 "HSPA_EVOLUTION", 1004 "EUTRAN",
        1005 "EUTRAN-NB-IoT", 2000 "CDMA2000_1X", 2001 "HRPD", 2002 "UMB", 2003 "EHRPD",
    ];
    1034 ALLOCATION_RETENTION_PRIORITY "Allocation-Retention-Priority" Grouped MaySet "TS 29.212 section 5.3.32";
    1040 APN_AGGREGATE_MAX_BITRATE_DL "APN-Aggregate-Max-Bitrate-DL" Unsigned32 MayClear "TS 29.212 section 5.3.39";
    1041 APN_AGGREGATE_MAX_BITRATE_UL "APN-Aggregate-Max-Bitrate-UL" Unsigned32 MayClear "TS 29.212 section 5.3.40";
    1046 PRIORITY_LEVEL "Priority-Level" Unsigned32 MaySet "TS 29.212 section 5.3.45";
    1047 PRE_EMPTION_CAPABILITY "Pre-emption-Capability" Enumerated MaySet "TS 29.212 section 5.3.46" [
        0 "PRE-EMPTION_CAPABILITY_ENABLED", 1 "PRE-EMPTION_CAPABILITY_DISABLED",
    ];
    1048 PRE_EMPTION_VULNERABILITY "Pre-emption-Vulnerability" Enumerated MaySet "TS 29.212 section 5.3.47" [
        0 "PRE-EMPTION_VULNERABILITY_ENABLED", 1 "PRE-EMPTION_VULNERABILITY_DISABLED",
    ];
    1091 TDF_IP_ADDRESS "TDF-IP-Address" Address MayClear "TS 29.212 section 5.3";
    1095 ADC_RULE_BASE_NAME "ADC-Rule-Base-Name" UTF8String MaySet "TS 29.212 section 5.3";
    1226 UNIT_QUOTA_THRESHOLD "Unit-Quota-Threshold" Unsigned32 MaySet "TS 32.299 section 7.2";
    1227 PDP_ADDRESS "PDP-Address" Address MaySet "TS 32.299 section 7.2";
    1228 SGSN_ADDRESS "SGSN-Address" Address MaySet "TS 32.299 section 7.2";
    1247 PDP_CONTEXT_TYPE "PDP-Context-Type" Enumerated MaySet "TS 32.299 section 7.2" [0 "PRIMARY", 1 "SECONDARY"];
    1249 SERVICE_SPECIFIC_INFO "Service-Specific-Info" Grouped MaySet "TS 32.299 section 7.2";
    1256 SERVICE_GENERIC_INFORMATION "Service-Generic-Information" Grouped MaySet "TS 32.299 section 7.2";
    1257 SERVICE_SPECIFIC_TYPE "Service-Specific-Type" Unsigned32 MaySet "TS 32.299 section 7.2";
    1258 EVENT_CHARGING_TIMESTAMP "Event-Charging-TimeStamp" Time MaySet "TS 32.299 section 7.2";
    1264 TRIGGER "Trigger" Grouped MaySet "TS 32.299 section 7.2";
    1265 BASE_TIME_INTERVAL "Base-Time-Interval" Unsigned32 MaySet "TS 32.299 section 7.2";
    1266 ENVELOPE "Envelope" Grouped MaySet "TS 32.299 section 7.2";
    1267 ENVELOPE_END_TIME "Envelope-End-Time" Time MaySet "TS 32.299 section 7.2";
    1268 ENVELOPE_REPORTING "Envelope-Reporting" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "DO_NOT_REPORT_ENVELOPES", 1 "REPORT_ENVELOPES", 2 "REPORT_ENVELOPES_WITH_VOLUME",
        3 "REPORT_ENVELOPES_WITH_EVENTS", 4 "REPORT_ENVELOPES_WITH_VOLUME_AND_EVENTS",
    ];
    1269 ENVELOPE_START_TIME "Envelope-Start-Time" Time MaySet "TS 32.299 section 7.2";
    1270 TIME_QUOTA_MECHANISM "Time-Quota-Mechanism" Grouped MaySet "TS 32.299 section 7.2";
    1271 TIME_QUOTA_TYPE "Time-Quota-Type" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "DISCRETE_TIME_PERIOD", 1 "CONTINUOUS_TIME_PERIOD",
    ];
    1276 AF_CORRELATION_INFORMATION "AF-Correlation-Information" Grouped MaySet "TS 32.299 section 7.2";
    1278 OFFLINE_CHARGING "Offline-Charging" Grouped MaySet "TS 32.299 section 7.2";
    1302 RAN_SECONDARY_RAT_USAGE_REPORT "RAN-Secondary-RAT-Usage-Report" Grouped MaySet "TS 32.299 section 7.2";
    2000 SMS_INFORMATION "SMS-Information" Grouped MaySet "TS 32.299 section 7.2";
    2020 LOW_BALANCE_INDICATION "Low-Balance-Indication" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "NOT-APPLICABLE", 1 "YES",
    ];
    2021 REMAINING_BALANCE "Remaining-Balance" Grouped MaySet "TS 32.299 section 7.2";
    2022 REFUND_INFORMATION "Refund-Information" OctetString MaySet "TS 32.299 section 7.2";
    2030 MMTEL_INFORMATION "MMTel-Information" Grouped MaySet "TS 32.299 section 7.2";
    2037 CHANGE_CONDITION "Change-Condition" Integer32 MaySet "TS 32.299 section 7.2";
    2038 CHANGE_TIME "Change-Time" Time MaySet "TS 32.299 section 7.2";
    2039 DIAGNOSTICS "Diagnostics" Integer32 MaySet "TS 32.299 section 7.2";
    2040 SERVICE_DATA_CONTAINER "Service-Data-Container" Grouped MaySet "TS 32.299 section 7.2";
    2041 START_TIME "Start-Time" Time MaySet "TS 32.299 section 7.2";
    2042 STOP_TIME "Stop-Time" Time MaySet "TS 32.299 section 7.2";
    2043 TIME_FIRST_USAGE "Time-First-Usage" Time MaySet "TS 32.299 section 7.2";
    2044 TIME_LAST_USAGE "Time-Last-Usage" Time MaySet "TS 32.299 section 7.2";
    2045 TIME_USAGE "Time-Usage" Unsigned32 MaySet "TS 32.299 section 7.2";
    2046 TRAFFIC_DATA_VOLUMES "Traffic-Data-Volumes" Grouped MaySet "TS 32.299 section 7.2";
    2047 SERVING_NODE_TYPE "Serving-Node-Type" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "SGSN", 1 "PMIPSGW", 2 "GTPSGW", 3 "ePDG", 4 "hSGW", 5 "MME", 6 "TWAN",
    ];
    2050 PDN_CONNECTION_CHARGING_ID "PDN-Connection-Charging-ID" Unsigned32 MaySet "TS 32.299 section 7.2";
    2051 DYNAMIC_ADDRESS_FLAG "Dynamic-Address-Flag" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "Static", 1 "Dynamic",
    ];
    2054 AOC_INFORMATION "AoC-Information" Grouped MaySet "TS 32.299 section 7.2";
    2063 LOCAL_SEQUENCE_NUMBER "Local-Sequence-Number" Unsigned32 MaySet "TS 32.299 section 7.2";
    2064 NODE_ID "Node-Id" UTF8String MaySet "TS 32.299 section 7.2";
    2065 SGW_CHANGE "SGW-Change" Enumerated MaySet "TS 32.299 section 7.2";
    2066 CHARGING_CHARACTERISTICS_SELECTION_MODE "Charging-Characteristics-Selection-Mode" Enumerated MaySet "TS 32.299 section 7.2" [
        0 "Serving-Node-Supplied", 1 "Subscription-specific", 2 "APN-specific", 3 "Home-Default",
        4 "Roaming-Default", 5 "Visiting-Default",
    ];
    2067 SGW_ADDRESS "SGW-Address" Address MaySet "TS 32.299 section 7.2";
    2068 DYNAMIC_ADDRESS_FLAG_EXTENSION "Dynamic-Address-Flag-Extension" Enumerated MaySet "TS 32.299 section 7.2";
    2110 IM_INFORMATION "IM-Information" Grouped MaySet "TS 32.299 section 7.2";
    2115 DCD_INFORMATION "DCD-Information" Grouped MaySet "TS 32.299 section 7.2";
    2308 IMSI_UNAUTHENTICATED_FLAG "IMSI-Unauthenticated-Flag" Enumerated MaySet "TS 32.299 section 7.2";
    2317 CSG_ACCESS_MODE "CSG-Access-Mode" Enumerated MaySet "TS 32.299 section 7.2";
    2318 CSG_MEMBERSHIP_INDICATION "CSG-Membership-Indication" Enumerated MaySet "TS 32.299 section 7.2";
    2319 USER_CSG_INFORMATION "User-CSG-Information" Grouped MaySet "TS 32.299 section 7.2";
    2402 MME_NAME "MME-Name" DiameterIdentity MaySet "TS 32.299 section 7.2";
    2408 MME_REALM "MME-Realm" DiameterIdentity MaySet "TS 32.299 section 7.2";
    2602 LOW_PRIORITY_INDICATOR "Low-Priority-Indicator" Enumerated MaySet "TS 32.299 section 7.2";
    2606 PDP_ADDRESS_PREFIX_LENGTH "PDP-Address-Prefix-Length" Unsigned32 MaySet "TS 32.299 section 7.2";
    2714 TWAN_USER_LOCATION_INFO "TWAN-User-Location-Info" Grouped MaySet "TS 32.299 section 7.2";
    2812 USER_LOCATION_INFO_TIME "User-Location-Info-Time" Time MaySet "TS 32.299 section 7.2";
    2819 RAN_NAS_RELEASE_CAUSE "RAN-NAS-Release-Cause" OctetString MaySet "TS 29.212 section 5.3";
    2821 PRESENCE_REPORTING_AREA_IDENTIFIER "Presence-Reporting-Area-Identifier" OctetString MaySet "TS 29.212 section 5.3";
    2822 PRESENCE_REPORTING_AREA_INFORMATION "Presence-Reporting-Area-Information" Grouped MaySet "TS 29.212 section 5.3";
    2823 PRESENCE_REPORTING_AREA_STATUS "Presence-Reporting-Area-Status" Enumerated MaySet "TS 29.212 section 5.3";
    2825 FIXED_USER_LOCATION_INFO "Fixed-User-Location-Info" Grouped MaySet "TS 29.212 section 5.3";
    2830 NBIFOM_MODE "NBIFOM-Mode" Enumerated MaySet "TS 29.212 section 5.3";
    2831 NBIFOM_SUPPORT "NBIFOM-Support" Enumerated MaySet "TS 29.212 section 5.3";
    3111 EXTERNAL_IDENTIFIER "External-Identifier" UTF8String MaySet "TS 29.336 section 6.4";
    3401 REASON_HEADER "Reason-Header" UTF8String MaySet "TS 32.299 section 7.2";
    3410 VCS_INFORMATION "VCS-Information" Grouped MaySet "TS 32.299 section 7.2";
    3421 CN_OPERATOR_SELECTION_ENTITY "CN-Operator-Selection-Entity" Enumerated MaySet "TS 32.299 section 7.2";
    3425 EPDG_ADDRESS "ePDG-Address" Address MaySet "TS 32.299 section 7.2";
    3901 ENHANCED_DIAGNOSTICS "Enhanced-Diagnostics" Grouped MaySet "TS 32.299 section 7.2";
    3903 TWAG_ADDRESS "TWAG-Address" Address MaySet "TS 32.299 section 7.2";
    3904 ANNOUNCEMENT_INFORMATION "Announcement-Information" Grouped MaySet "TS 32.299 section 7.2";
    3905 ANNOUNCEMENT_IDENTIFIER "Announcement-Identifier" Unsigned32 MaySet "TS 32.299 section 7.2";
    3906 ANNOUNCEMENT_ORDER "Announcement-Order" Unsigned32 MaySet "TS 32.299 section 7.2";
    3907 VARIABLE_PART "Variable-Part" Grouped MaySet "TS 32.299 section 7.2";
    3908 VARIABLE_PART_ORDER "Variable-Part-Order" Unsigned32 MaySet "TS 32.299 section 7.2";
    3909 VARIABLE_PART_TYPE "Variable-Part-Type" Unsigned32 MaySet "TS 32.299 section 7.2";
    3910 VARIABLE_PART_VALUE "Variable-Part-Value" UTF8String MaySet "TS 32.299 section 7.2";
    3911 TIME_INDICATOR "Time-Indicator" Unsigned32 MaySet "TS 32.299 section 7.2";
    3912 QUOTA_INDICATOR "Quota-Indicator" Enumerated MaySet "TS 32.299 section 7.2";
    3913 PLAY_ALTERNATIVE "Play-Alternative" Enumerated MaySet "TS 32.299 section 7.2";
    3914 LANGUAGE "Language" UTF8String MaySet "TS 32.299 section 7.2";
    3915 PRIVACY_INDICATOR "Privacy-Indicator" Enumerated MaySet "TS 32.299 section 7.2";
    3918 UWAN_USER_LOCATION_INFO "UWAN-User-Location-Info" Grouped MaySet "TS 32.299 section 7.2";
    3930 CP_CIOT_EPS_OPTIMISATION_INDICATOR "CP-CIoT-EPS-Optimisation-Indicator" Enumerated MaySet "TS 32.299 section 7.2";
    3931 SGI_PTP_TUNNELLING_METHOD "SGi-PtP-Tunnelling-Method" Enumerated MaySet "TS 32.299 section 7.2";
    3932 UNI_PDU_CP_ONLY_FLAG "UNI-PDU-CP-Only-Flag" Enumerated MaySet "TS 32.299 section 7.2";
    3933 APN_RATE_CONTROL "APN-Rate-Control" Grouped MaySet "TS 32.299 section 7.2";
    3940 SCS_AS_ADDRESS "SCS-AS-Address" Grouped MaySet "TS 32.299 section 7.2";
    4310 SERVING_PLMN_RATE_CONTROL "Serving-PLMN-Rate-Control" Grouped MaySet "TS 29.128 section 6.4";
    4318 RRC_CAUSE_COUNTER "RRC-Cause-Counter" Grouped MaySet "TS 29.128 section 6.4";
    4400 CHARGING_PER_IP_CAN_SESSION_INDICATOR "Charging-Per-IP-CAN-Session-Indicator" Enumerated MaySet "TS 32.299 section 7.2";
    4406 TGPP_PS_DATA_OFF_STATUS "3GPP-PS-Data-Off-Status" Enumerated MaySet "TS 32.299 section 7.2";
    4407 UNUSED_QUOTA_TIMER "Unused-Quota-Timer" Unsigned32 MaySet "TS 32.299 section 7.2";
} }
