//! TS 29.272 section 7.3, and what its commands carry of TS 29.128, 29.229,
//! 29.336, 29.338 and 29.344.

avps! { vendor 10415 {
    625 CONFIDENTIALITY_KEY "Confidentiality-Key" OctetString MaySet "TS 29.229 section 6.3";
    626 INTEGRITY_KEY "Integrity-Key" OctetString MaySet "TS 29.229 section 6.3";
    1400 SUBSCRIPTION_DATA "Subscription-Data" Grouped M "TS 29.272 section 7.3.2";
    1401 TERMINAL_INFORMATION "Terminal-Information" Grouped M "TS 29.272 section 7.3.3";
    1402 IMEI "IMEI" UTF8String M "TS 29.272 section 7.3.4";
    1403 SOFTWARE_VERSION "Software-Version" UTF8String M "TS 29.272 section 7.3.5";
    1404 QOS_SUBSCRIBED "QoS-Subscribed" OctetString M "TS 29.272 section 7.3";
    1405 ULR_FLAGS "ULR-Flags" Unsigned32 M "TS 29.272 section 7.3.7";
    1406 ULA_FLAGS "ULA-Flags" Unsigned32 M "TS 29.272 section 7.3.8";
    1407 VISITED_PLMN_ID "Visited-PLMN-Id" OctetString M "TS 29.272 section 7.3.9";
    1408 REQUESTED_EUTRAN_AUTHENTICATION_INFO "Requested-EUTRAN-Authentication-Info" Grouped M "TS 29.272 section 7.3.11";
    1409 REQUESTED_UTRAN_GERAN_AUTHENTICATION_INFO "Requested-UTRAN-GERAN-Authentication-Info" Grouped M "TS 29.272 section 7.3.12";
    1410 NUMBER_OF_REQUESTED_VECTORS "Number-Of-Requested-Vectors" Unsigned32 M "TS 29.272 section 7.3.14";
    1411 RE_SYNCHRONIZATION_INFO "Re-Synchronization-Info" OctetString M "TS 29.272 section 7.3.15";
    1412 IMMEDIATE_RESPONSE_PREFERRED "Immediate-Response-Preferred" Unsigned32 M "TS 29.272 section 7.3.16";
    1413 AUTHENTICATION_INFO "Authentication-Info" Grouped M "TS 29.272 section 7.3.17";
    1414 E_UTRAN_VECTOR "E-UTRAN-Vector" Grouped M "TS 29.272 section 7.3.18";
    1415 UTRAN_VECTOR "UTRAN-Vector" Grouped M "TS 29.272 section 7.3";
    1416 GERAN_VECTOR "GERAN-Vector" Grouped M "TS 29.272 section 7.3";
    1417 NETWORK_ACCESS_MODE "Network-Access-Mode" Enumerated M "TS 29.272 section 7.3.21" [
        0 "PACKET_AND_CIRCUIT", 1 "Reserved", 2 "ONLY_PACKET",
    ];
    1418 HPLMN_ODB "HPLMN-ODB" Unsigned32 M "TS 29.272 section 7.3";
    1419 ITEM_NUMBER "Item-Number" Unsigned32 M "TS 29.272 section 7.3";
    1420 CANCELLATION_TYPE "Cancellation-Type" Enumerated M "TS 29.272 section 7.3.24" [
        0 "MME_UPDATE_PROCEDURE", 1 "SGSN_UPDATE_PROCEDURE", 2 "SUBSCRIPTION_WITHDRAWAL", 3 "UPDATE_PROCEDURE_IWF",
        4 "INITIAL_ATTACH_PROCEDURE",
    ];
    1421 DSR_FLAGS "DSR-Flags" Unsigned32 M "TS 29.272 section 7.3.25";
    1422 DSA_FLAGS "DSA-Flags" Unsigned32 M "TS 29.272 section 7.3.26";
    1423 CONTEXT_IDENTIFIER "Context-Identifier" Unsigned32 M "TS 29.272 section 7.3.27";
    1424 SUBSCRIBER_STATUS "Subscriber-Status" Enumerated M "TS 29.272 section 7.3.29" [
        0 "SERVICE_GRANTED", 1 "OPERATOR_DETERMINED_BARRING",
    ];
    1425 OPERATOR_DETERMINED_BARRING "Operator-Determined-Barring" Unsigned32 M "TS 29.272 section 7.3.30";
    1426 ACCESS_RESTRICTION_DATA "Access-Restriction-Data" Unsigned32 M "TS 29.272 section 7.3.31";
    1427 APN_OI_REPLACEMENT "APN-OI-Replacement" UTF8String M "TS 29.272 section 7.3.32";
    1428 ALL_APN_CONFIGURATIONS_INCLUDED_INDICATOR "All-APN-Configurations-Included-Indicator" Enumerated M "TS 29.272 section 7.3.33" [
        0 "All_APN_CONFIGURATIONS_INCLUDED", 1 "MODIFIED_ADDED_APN_CONFIGURATIONS_INCLUDED",
    ];
    1429 APN_CONFIGURATION_PROFILE "APN-Configuration-Profile" Grouped M "TS 29.272 section 7.3.34";
    1430 APN_CONFIGURATION "APN-Configuration" Grouped M "TS 29.272 section 7.3.35";
    1431 EPS_SUBSCRIBED_QOS_PROFILE "EPS-Subscribed-QoS-Profile" Grouped M "TS 29.272 section 7.3.37";
    1432 VPLMN_DYNAMIC_ADDRESS_ALLOWED "VPLMN-Dynamic-Address-Allowed" Enumerated M "TS 29.272 section 7.3.38" [
        0 "NOTALLOWED", 1 "ALLOWED",
    ];
    1433 STN_SR "STN-SR" OctetString M "TS 29.272 section 7.3";
    1434 ALERT_REASON "Alert-Reason" Enumerated M "TS 29.272 section 7.3.83" [0 "UE_PRESENT", 1 "UE_MEMORY_AVAILABLE"];
    1435 AMBR "AMBR" Grouped M "TS 29.272 section 7.3.41";
    1436 CSG_SUBSCRIPTION_DATA "CSG-Subscription-Data" Grouped M "TS 29.272 section 7.3";
    1437 CSG_ID "CSG-Id" Unsigned32 M "TS 29.272 section 7.3";
    1438 PDN_GW_ALLOCATION_TYPE "PDN-GW-Allocation-Type" Enumerated M "TS 29.272 section 7.3.44" [
        0 "STATIC", 1 "DYNAMIC",
    ];
    1439 EXPIRATION_DATE "Expiration-Date" Time M "TS 29.272 section 7.3";
    1440 RAT_FREQUENCY_SELECTION_PRIORITY_ID "RAT-Frequency-Selection-Priority-ID" Unsigned32 M "TS 29.272 section 7.3.46";
    1441 IDA_FLAGS "IDA-Flags" Unsigned32 M "TS 29.272 section 7.3.47";
    1442 PUA_FLAGS "PUA-Flags" Unsigned32 M "TS 29.272 section 7.3.48";
    1443 NOR_FLAGS "NOR-Flags" Unsigned32 M "TS 29.272 section 7.3.49";
    1444 USER_ID "User-Id" UTF8String MayClear "TS 29.272 section 7.3.50";
    1446 REGIONAL_SUBSCRIPTION_ZONE_CODE "Regional-Subscription-Zone-Code" OctetString M "TS 29.272 section 7.3";
    1447 RAND "RAND" OctetString M "TS 29.272 section 7.3";
    1448 XRES "XRES" OctetString M "TS 29.272 section 7.3";
    1449 AUTN "AUTN" OctetString M "TS 29.272 section 7.3";
    1450 KASME "KASME" OctetString M "TS 29.272 section 7.3";
    1453 KC "Kc" OctetString M "TS 29.272 section 7.3";
    1454 SRES "SRES" OctetString M "TS 29.272 section 7.3";
    1456 PDN_TYPE "PDN-Type" Enumerated M "TS 29.272 section 7.3.62" [0 "IPv4", 1 "IPv6", 2 "IPv4v6", 3 "IPv4_OR_IPv6"];
    1457 ROAMING_RESTRICTED_DUE_TO_UNSUPPORTED_FEATURE "Roaming-Restricted-Due-To-Unsupported-Feature" Enumerated M "TS 29.272 section 7.3";
    1458 TRACE_DATA "Trace-Data" Grouped M "TS 29.272 section 7.3";
    1459 TRACE_REFERENCE "Trace-Reference" OctetString M "TS 29.272 section 7.3";
    1467 GPRS_SUBSCRIPTION_DATA "GPRS-Subscription-Data" Grouped M "TS 29.272 section 7.3";
    1468 COMPLETE_DATA_LIST_INCLUDED_INDICATOR "Complete-Data-List-Included-Indicator" Enumerated M "TS 29.272 section 7.3";
    1469 PDP_CONTEXT "PDP-Context" Grouped M "TS 29.272 section 7.3";
    1470 PDP_TYPE "PDP-Type" OctetString M "TS 29.272 section 7.3";
    1471 TGPP2_MEID "3GPP2-MEID" OctetString M "TS 29.272 section 7.3";
    1472 SPECIFIC_APN_INFO "Specific-APN-Info" Grouped M "TS 29.272 section 7.3";
    1473 LCS_INFO "LCS-Info" Grouped M "TS 29.272 section 7.3";
    1476 SS_CODE "SS-Code" OctetString M "TS 29.272 section 7.3";
    1486 TELESERVICE_LIST "Teleservice-List" Grouped M "TS 29.272 section 7.3";
    1487 TS_CODE "TS-Code" OctetString M "TS 29.272 section 7.3";
    1488 CALL_BARRING_INFO "Call-Barring-Info" Grouped M "TS 29.272 section 7.3.101";
    1489 SGSN_NUMBER "SGSN-Number" OctetString M "TS 29.272 section 7.3.102";
    1490 IDR_FLAGS "IDR-Flags" Unsigned32 M "TS 29.272 section 7.3.103";
    1491 ICS_INDICATOR "ICS-Indicator" Enumerated MayClear "TS 29.272 section 7.3";
    1492 IMS_VOICE_OVER_PS_SESSIONS_SUPPORTED "IMS-Voice-Over-PS-Sessions-Supported" Enumerated MayClear "TS 29.272 section 7.3";
    1493 HOMOGENEOUS_SUPPORT_OF_IMS_VOICE "Homogeneous-Support-of-IMS-Voice-Over-PS-Sessions" Enumerated MayClear "TS 29.272 section 7.3.107" [
        0 "NOT_SUPPORTED", 1 "SUPPORTED",
    ];
    1494 LAST_UE_ACTIVITY_TIME "Last-UE-Activity-Time" Time MayClear "TS 29.272 section 7.3";
    1495 EPS_USER_STATE "EPS-User-State" Grouped MayClear "TS 29.272 section 7.3";
    1496 EPS_LOCATION_INFORMATION "EPS-Location-Information" Grouped MayClear "TS 29.272 section 7.3";
    1612 ACTIVE_APN "Active-APN" Grouped MayClear "TS 29.272 section 7.3";
    1613 SIPTO_PERMISSION "SIPTO-Permission" Enumerated MayClear "TS 29.272 section 7.3";
    1614 ERROR_DIAGNOSTIC "Error-Diagnostic" Enumerated MayClear "TS 29.272 section 7.3.128" [
        0 "GPRS_DATA_SUBSCRIBED", 1 "NO_GPRS_DATA_SUBSCRIBED", 2 "ODB_ALL_APN", 3 "ODB_HPLMN_APN", 4 "ODB_VPLMN_APN",
    ];
    1615 UE_SRVCC_CAPABILITY "UE-SRVCC-Capability" Enumerated MayClear "TS 29.272 section 7.3.130" [
        0 "UE_SRVCC_NOT_SUPPORTED", 1 "UE_SRVCC_SUPPORTED",
    ];
    1616 MPS_PRIORITY "MPS-Priority" Unsigned32 MayClear "TS 29.272 section 7.3";
    1617 VPLMN_LIPA_ALLOWED "VPLMN-LIPA-Allowed" Enumerated MayClear "TS 29.272 section 7.3";
    1618 LIPA_PERMISSION "LIPA-Permission" Enumerated MayClear "TS 29.272 section 7.3";
    1619 SUBSCRIBED_PERIODIC_RAU_TAU_TIMER "Subscribed-Periodic-RAU-TAU-Timer" Unsigned32 MayClear "TS 29.272 section 7.3.134";
    1620 EXT_PDP_TYPE "Ext-PDP-Type" OctetString MayClear "TS 29.272 section 7.3";
    1621 EXT_PDP_ADDRESS "Ext-PDP-Address" Address MayClear "TS 29.272 section 7.3";
    1633 RELAY_NODE_INDICATOR "Relay-Node-Indicator" Enumerated MayClear "TS 29.272 section 7.3";
    1634 MDT_USER_CONSENT "MDT-User-Consent" Enumerated MayClear "TS 29.272 section 7.3";
    1635 PUR_FLAGS "PUR-Flags" Unsigned32 MayClear "TS 29.272 section 7.3.149";
    1636 SUBSCRIBED_VSRVCC "Subscribed-VSRVCC" Enumerated MayClear "TS 29.272 section 7.3";
    1637 EQUIVALENT_PLMN_LIST "Equivalent-PLMN-List" Grouped MayClear "TS 29.272 section 7.3.151";
    1638 CLR_FLAGS "CLR-Flags" Unsigned32 MayClear "TS 29.272 section 7.3.152";
    1642 TIME_ZONE "Time-Zone" UTF8String MayClear "TS 29.272 section 7.3";
    1643 A_MSISDN "A-MSISDN" OctetString MayClear "TS 29.272 section 7.3";
    1645 MME_NUMBER_FOR_MT_SMS "MME-Number-for-MT-SMS" OctetString MayClear "TS 29.272 section 7.3";
    1649 LOCAL_TIME_ZONE "Local-Time-Zone" Grouped MayClear "TS 29.272 section 7.3";
    1650 DAYLIGHT_SAVING_TIME "Daylight-Saving-Time" Enumerated MayClear "TS 29.272 section 7.3";
    1654 SUBSCRIPTION_DATA_FLAGS "Subscription-Data-Flags" Unsigned32 MayClear "TS 29.272 section 7.3";
    1663 RESTORATION_PRIORITY "Restoration-Priority" Unsigned32 MayClear "TS 29.272 section 7.3";
    1664 SGS_MME_IDENTITY "SGs-MME-Identity" UTF8String MayClear "TS 29.272 section 7.3";
    1665 SIPTO_LOCAL_NETWORK_PERMISSION "SIPTO-Local-Network-Permission" Enumerated MayClear "TS 29.272 section 7.3";
    1666 COUPLED_NODE_DIAMETER_ID "Coupled-Node-Diameter-ID" DiameterIdentity MayClear "TS 29.272 section 7.3";
    1667 WLAN_OFFLOADABILITY "WLAN-offloadability" Grouped MayClear "TS 29.272 section 7.3";
    1670 RESET_ID "Reset-ID" OctetString MayClear "TS 29.272 section 7.3";
    1673 ADJACENT_ACCESS_RESTRICTION_DATA "Adjacent-Access-Restriction-Data" Grouped MayClear "TS 29.272 section 7.3";
    1674 DL_BUFFERING_SUGGESTED_PACKET_COUNT "DL-Buffering-Suggested-Packet-Count" Integer32 MayClear "TS 29.272 section 7.3";
    1675 IMSI_GROUP_ID "IMSI-Group-Id" Grouped MayClear "TS 29.272 section 7.3";
    1680 UE_USAGE_TYPE "UE-Usage-Type" Unsigned32 MayClear "TS 29.272 section 7.3";
    1681 NON_IP_PDN_TYPE_INDICATOR "Non-IP-PDN-Type-Indicator" Enumerated MayClear "TS 29.272 section 7.3";
    1682 NON_IP_DATA_DELIVERY_MECHANISM "Non-IP-Data-Delivery-Mechanism" Enumerated MayClear "TS 29.272 section 7.3";
    1684 SCEF_REALM "SCEF-Realm" DiameterIdentity MayClear "TS 29.272 section 7.3";
    1686 PREFERRED_DATA_MODE "Preferred-Data-Mode" Unsigned32 MayClear "TS 29.272 section 7.3";
    1687 EMERGENCY_INFO "Emergency-Info" Grouped MayClear "TS 29.272 section 7.3";
    1688 V2X_SUBSCRIPTION_DATA "V2X-Subscription-Data" Grouped MayClear "TS 29.272 section 7.3";
    1690 PDN_CONNECTION_CONTINUITY "PDN-Connection-Continuity" Enumerated MayClear "TS 29.272 section 7.3";
    1691 EDRX_CYCLE_LENGTH "eDRX-Cycle-Length" Grouped MayClear "TS 29.272 section 7.3";
    1698 SERVICE_GAP_TIME "Service-Gap-Time" Unsigned32 MayClear "TS 29.272 section 7.3";
    1699 AERIAL_UE_SUBSCRIPTION_INFORMATION "Aerial-UE-Subscription-Information" Unsigned32 MayClear "TS 29.272 section 7.3";
    1700 BROADCAST_LOCATION_ASSISTANCE_DATA_TYPES "Broadcast-Location-Assistance-Data-Types" Unsigned64 MayClear "TS 29.272 section 7.3";
    1701 PAGING_TIME_WINDOW "Paging-Time-Window" Grouped MayClear "TS 29.272 section 7.3";
    1704 CORE_NETWORK_RESTRICTIONS "Core-Network-Restrictions" Unsigned32 MayClear "TS 29.272 section 7.3";
    1706 INTERWORKING_5GS_INDICATOR "Interworking-5GS-Indicator" Enumerated MayClear "TS 29.272 section 7.3";
    1707 ETHERNET_PDN_TYPE_INDICATOR "Ethernet-PDN-Type-Indicator" Enumerated MayClear "TS 29.272 section 7.3";
    1708 SUBSCRIBED_ARPI "Subscribed-ARPI" Unsigned32 MayClear "TS 29.272 section 7.3";
    3113 AESE_COMMUNICATION_PATTERN "AESE-Communication-Pattern" Grouped M "TS 29.336 section 6.4";
    3122 MONITORING_EVENT_CONFIGURATION "Monitoring-Event-Configuration" Grouped M "TS 29.336 section 6.4";
    3125 SCEF_ID "SCEF-ID" DiameterIdentity M "TS 29.336 section 6.4";
    3142 MONITORING_EVENT_CONFIG_STATUS "Monitoring-Event-Config-Status" Grouped M "TS 29.336 section 6.4";
    3143 SUPPORTED_SERVICES "Supported-Services" Grouped M "TS 29.336 section 6.4";
    3329 MAXIMUM_UE_AVAILABILITY_TIME "Maximum-UE-Availability-Time" Time MayClear "TS 29.338 section 5.3.3";
    3701 PROSE_SUBSCRIPTION_DATA "ProSe-Subscription-Data" Grouped M "TS 29.344 section 6.3.2";
    4324 ACTIVE_TIME "Active-Time" Unsigned32 MayClear "TS 29.128 section 6.4";
} }
