//! Every AVP that the gateway knows, one line each: code, constant, name,
//! type, rule for the M bit, standard.
//!
//! The file is long because it is a table.

use super::{AvpDef, DataType, MandatoryBit};

macro_rules! avps {
    ($( vendor $vendor:literal { $(
        $code:literal $ident:ident $name:literal $data_type:ident $mandatory:ident $std:literal;
    )* } )*) => {
        $($(
            #[doc = concat!("`", $name, "` ", stringify!($code), ", ", stringify!($data_type), ", ", $std, ".")]
            pub const $ident: AvpDef = AvpDef {
                code: $code,
                vendor: $vendor,
                name: $name,
                data_type: DataType::$data_type,
                mandatory: MandatoryBit::$mandatory,
            };
        )*)*

        /// Vendor and code of each AVP in one word, to match against
        /// [`crate::Avp::key`].
        pub mod key {
            $($(
                #[doc = concat!("Key of `", $name, "`.")]
                pub const $ident: u64 = super::$ident.key();
            )*)*
        }

        /// The AVP of this vendor (0 for the IETF's) and code.
        #[deny(unreachable_patterns)]
        pub fn find_avp(vendor: u32, code: u32) -> Option<&'static AvpDef> {
            match (vendor, code) {
                $($( ($vendor, $code) => Some(&$ident), )*)*
                _ => None,
            }
        }

        /// Every AVP of the dictionary.
        pub const AVPS: &[&AvpDef] = &[ $($( &$ident, )*)* ];
    };
}

avps! {
    vendor 0 {
        // RFC 6733 section 4.5, and the RADIUS attributes that it takes over
        1 USER_NAME "User-Name" UTF8String M "RFC 6733 section 8.14";
        11 FILTER_ID "Filter-Id" UTF8String M "RFC 7155 section 4.4.6";
        25 CLASS "Class" OctetString M "RFC 6733 section 8.20";
        27 SESSION_TIMEOUT "Session-Timeout" Unsigned32 M "RFC 6733 section 8.13";
        30 CALLED_STATION_ID "Called-Station-Id" UTF8String MaySet "RFC 7155 section 4.2.5";
        33 PROXY_STATE "Proxy-State" OctetString M "RFC 6733 section 6.7.4";
        44 ACCT_SESSION_ID "Acct-Session-Id" OctetString M "RFC 6733 section 9.8.4";
        50 ACCT_MULTI_SESSION_ID "Acct-Multi-Session-Id" UTF8String M "RFC 6733 section 9.8.5";
        55 EVENT_TIMESTAMP "Event-Timestamp" Time MaySet "RFC 6733 section 8.21";
        85 ACCT_INTERIM_INTERVAL "Acct-Interim-Interval" Unsigned32 M "RFC 6733 section 9.8.2";
        257 HOST_IP_ADDRESS "Host-IP-Address" Address M "RFC 6733 section 5.3.5";
        258 AUTH_APPLICATION_ID "Auth-Application-Id" Unsigned32 M "RFC 6733 section 6.8";
        259 ACCT_APPLICATION_ID "Acct-Application-Id" Unsigned32 M "RFC 6733 section 6.9";
        260 VENDOR_SPECIFIC_APPLICATION_ID "Vendor-Specific-Application-Id" Grouped M "RFC 6733 section 6.11";
        261 REDIRECT_HOST_USAGE "Redirect-Host-Usage" Enumerated M "RFC 6733 section 6.13";
        262 REDIRECT_MAX_CACHE_TIME "Redirect-Max-Cache-Time" Unsigned32 M "RFC 6733 section 6.14";
        263 SESSION_ID "Session-Id" UTF8String M "RFC 6733 section 8.8";
        264 ORIGIN_HOST "Origin-Host" DiameterIdentity M "RFC 6733 section 6.3";
        265 SUPPORTED_VENDOR_ID "Supported-Vendor-Id" Unsigned32 M "RFC 6733 section 5.3.6";
        266 VENDOR_ID "Vendor-Id" Unsigned32 M "RFC 6733 section 5.3.3";
        267 FIRMWARE_REVISION "Firmware-Revision" Unsigned32 Never "RFC 6733 section 5.3.4";
        268 RESULT_CODE "Result-Code" Unsigned32 M "RFC 6733 section 7.1";
        269 PRODUCT_NAME "Product-Name" UTF8String Never "RFC 6733 section 5.3.7";
        270 SESSION_BINDING "Session-Binding" Unsigned32 M "RFC 6733 section 8.17";
        271 SESSION_SERVER_FAILOVER "Session-Server-Failover" Enumerated M "RFC 6733 section 8.18";
        272 MULTI_ROUND_TIME_OUT "Multi-Round-Time-Out" Unsigned32 M "RFC 6733 section 8.19";
        273 DISCONNECT_CAUSE "Disconnect-Cause" Enumerated M "RFC 6733 section 5.4.3";
        274 AUTH_REQUEST_TYPE "Auth-Request-Type" Enumerated M "RFC 6733 section 8.7";
        276 AUTH_GRACE_PERIOD "Auth-Grace-Period" Unsigned32 M "RFC 6733 section 8.10";
        277 AUTH_SESSION_STATE "Auth-Session-State" Enumerated M "RFC 6733 section 8.11";
        278 ORIGIN_STATE_ID "Origin-State-Id" Unsigned32 M "RFC 6733 section 8.16";
        279 FAILED_AVP "Failed-AVP" Grouped M "RFC 6733 section 7.5";
        280 PROXY_HOST "Proxy-Host" DiameterIdentity M "RFC 6733 section 6.7.3";
        281 ERROR_MESSAGE "Error-Message" UTF8String Never "RFC 6733 section 7.3";
        282 ROUTE_RECORD "Route-Record" DiameterIdentity M "RFC 6733 section 6.7.1";
        283 DESTINATION_REALM "Destination-Realm" DiameterIdentity M "RFC 6733 section 6.6";
        284 PROXY_INFO "Proxy-Info" Grouped M "RFC 6733 section 6.7.2";
        285 RE_AUTH_REQUEST_TYPE "Re-Auth-Request-Type" Enumerated M "RFC 6733 section 8.12";
        287 ACCOUNTING_SUB_SESSION_ID "Accounting-Sub-Session-Id" Unsigned64 M "RFC 6733 section 9.8.6";
        291 AUTHORIZATION_LIFETIME "Authorization-Lifetime" Unsigned32 M "RFC 6733 section 8.9";
        292 REDIRECT_HOST "Redirect-Host" DiameterURI M "RFC 6733 section 6.12";
        293 DESTINATION_HOST "Destination-Host" DiameterIdentity M "RFC 6733 section 6.5";
        294 ERROR_REPORTING_HOST "Error-Reporting-Host" DiameterIdentity Never "RFC 6733 section 7.4";
        295 TERMINATION_CAUSE "Termination-Cause" Enumerated M "RFC 6733 section 8.15";
        296 ORIGIN_REALM "Origin-Realm" DiameterIdentity M "RFC 6733 section 6.4";
        297 EXPERIMENTAL_RESULT "Experimental-Result" Grouped M "RFC 6733 section 7.6";
        298 EXPERIMENTAL_RESULT_CODE "Experimental-Result-Code" Unsigned32 M "RFC 6733 section 7.7";
        299 INBAND_SECURITY_ID "Inband-Security-Id" Unsigned32 M "RFC 6733 section 6.10";
        301 DRMP "DRMP" Enumerated MayClear "RFC 7944 section 9.1";
        363 ACCOUNTING_INPUT_OCTETS "Accounting-Input-Octets" Unsigned64 M "RFC 7155 section 4.6.1";
        364 ACCOUNTING_OUTPUT_OCTETS "Accounting-Output-Octets" Unsigned64 M "RFC 7155 section 4.6.2";
        365 ACCOUNTING_INPUT_PACKETS "Accounting-Input-Packets" Unsigned64 M "RFC 7155 section 4.6.3";
        366 ACCOUNTING_OUTPUT_PACKETS "Accounting-Output-Packets" Unsigned64 M "RFC 7155 section 4.6.4";
        480 ACCOUNTING_RECORD_TYPE "Accounting-Record-Type" Enumerated M "RFC 6733 section 9.8.1";
        483 ACCOUNTING_REALTIME_REQUIRED "Accounting-Realtime-Required" Enumerated M "RFC 6733 section 9.8.7";
        485 ACCOUNTING_RECORD_NUMBER "Accounting-Record-Number" Unsigned32 M "RFC 6733 section 9.8.3";
        486 MIP6_AGENT_INFO "MIP6-Agent-Info" Grouped MaySet "RFC 5447 section 4.2.1";
        493 SERVICE_SELECTION "Service-Selection" UTF8String M "RFC 5778 section 6.2";
        621 OC_SUPPORTED_FEATURES "OC-Supported-Features" Grouped MayClear "RFC 7683 section 7.1";
        622 OC_FEATURE_VECTOR "OC-Feature-Vector" Unsigned64 MayClear "RFC 7683 section 7.2";

        // RFC 8506 section 8
        411 CC_CORRELATION_ID "CC-Correlation-Id" OctetString MayClear "RFC 8506 section 8.1";
        412 CC_INPUT_OCTETS "CC-Input-Octets" Unsigned64 M "RFC 8506 section 8.24";
        413 CC_MONEY "CC-Money" Grouped M "RFC 8506 section 8.22";
        414 CC_OUTPUT_OCTETS "CC-Output-Octets" Unsigned64 M "RFC 8506 section 8.25";
        415 CC_REQUEST_NUMBER "CC-Request-Number" Unsigned32 M "RFC 8506 section 8.2";
        416 CC_REQUEST_TYPE "CC-Request-Type" Enumerated M "RFC 8506 section 8.3";
        417 CC_SERVICE_SPECIFIC_UNITS "CC-Service-Specific-Units" Unsigned64 M "RFC 8506 section 8.26";
        418 CC_SESSION_FAILOVER "CC-Session-Failover" Enumerated M "RFC 8506 section 8.4";
        419 CC_SUB_SESSION_ID "CC-Sub-Session-Id" Unsigned64 M "RFC 8506 section 8.5";
        420 CC_TIME "CC-Time" Unsigned32 M "RFC 8506 section 8.21";
        421 CC_TOTAL_OCTETS "CC-Total-Octets" Unsigned64 M "RFC 8506 section 8.23";
        422 CHECK_BALANCE_RESULT "Check-Balance-Result" Enumerated M "RFC 8506 section 8.6";
        423 COST_INFORMATION "Cost-Information" Grouped M "RFC 8506 section 8.7";
        424 COST_UNIT "Cost-Unit" UTF8String M "RFC 8506 section 8.12";
        425 CURRENCY_CODE "Currency-Code" Unsigned32 M "RFC 8506 section 8.11";
        426 CREDIT_CONTROL "Credit-Control" Enumerated M "RFC 8506 section 8.13";
        427 CREDIT_CONTROL_FAILURE_HANDLING "Credit-Control-Failure-Handling" Enumerated M "RFC 8506 section 8.14";
        428 DIRECT_DEBITING_FAILURE_HANDLING "Direct-Debiting-Failure-Handling" Enumerated M "RFC 8506 section 8.15";
        429 EXPONENT "Exponent" Integer32 M "RFC 8506 section 8.9";
        430 FINAL_UNIT_INDICATION "Final-Unit-Indication" Grouped M "RFC 8506 section 8.34";
        431 GRANTED_SERVICE_UNIT "Granted-Service-Unit" Grouped M "RFC 8506 section 8.17";
        432 RATING_GROUP "Rating-Group" Unsigned32 M "RFC 8506 section 8.29";
        433 REDIRECT_ADDRESS_TYPE "Redirect-Address-Type" Enumerated M "RFC 8506 section 8.38";
        434 REDIRECT_SERVER "Redirect-Server" Grouped M "RFC 8506 section 8.37";
        435 REDIRECT_SERVER_ADDRESS "Redirect-Server-Address" UTF8String M "RFC 8506 section 8.39";
        436 REQUESTED_ACTION "Requested-Action" Enumerated M "RFC 8506 section 8.41";
        437 REQUESTED_SERVICE_UNIT "Requested-Service-Unit" Grouped M "RFC 8506 section 8.18";
        438 RESTRICTION_FILTER_RULE "Restriction-Filter-Rule" IPFilterRule M "RFC 8506 section 8.36";
        439 SERVICE_IDENTIFIER "Service-Identifier" Unsigned32 M "RFC 8506 section 8.28";
        440 SERVICE_PARAMETER_INFO "Service-Parameter-Info" Grouped MayClear "RFC 8506 section 8.43";
        441 SERVICE_PARAMETER_TYPE "Service-Parameter-Type" Unsigned32 MayClear "RFC 8506 section 8.44";
        442 SERVICE_PARAMETER_VALUE "Service-Parameter-Value" OctetString MayClear "RFC 8506 section 8.45";
        443 SUBSCRIPTION_ID "Subscription-Id" Grouped M "RFC 8506 section 8.46";
        444 SUBSCRIPTION_ID_DATA "Subscription-Id-Data" UTF8String M "RFC 8506 section 8.48";
        445 UNIT_VALUE "Unit-Value" Grouped M "RFC 8506 section 8.8";
        446 USED_SERVICE_UNIT "Used-Service-Unit" Grouped M "RFC 8506 section 8.19";
        447 VALUE_DIGITS "Value-Digits" Integer64 M "RFC 8506 section 8.10";
        448 VALIDITY_TIME "Validity-Time" Unsigned32 M "RFC 8506 section 8.33";
        449 FINAL_UNIT_ACTION "Final-Unit-Action" Enumerated M "RFC 8506 section 8.35";
        450 SUBSCRIPTION_ID_TYPE "Subscription-Id-Type" Enumerated M "RFC 8506 section 8.47";
        451 TARIFF_TIME_CHANGE "Tariff-Time-Change" Time M "RFC 8506 section 8.20";
        452 TARIFF_CHANGE_USAGE "Tariff-Change-Usage" Enumerated M "RFC 8506 section 8.27";
        453 G_S_U_POOL_IDENTIFIER "G-S-U-Pool-Identifier" Unsigned32 M "RFC 8506 section 8.31";
        454 CC_UNIT_TYPE "CC-Unit-Type" Enumerated M "RFC 8506 section 8.32";
        455 MULTIPLE_SERVICES_INDICATOR "Multiple-Services-Indicator" Enumerated M "RFC 8506 section 8.40";
        456 MULTIPLE_SERVICES_CREDIT_CONTROL "Multiple-Services-Credit-Control" Grouped M "RFC 8506 section 8.16";
        457 G_S_U_POOL_REFERENCE "G-S-U-Pool-Reference" Grouped M "RFC 8506 section 8.30";
        458 USER_EQUIPMENT_INFO "User-Equipment-Info" Grouped MayClear "RFC 8506 section 8.49";
        459 USER_EQUIPMENT_INFO_TYPE "User-Equipment-Info-Type" Enumerated MayClear "RFC 8506 section 8.50";
        460 USER_EQUIPMENT_INFO_VALUE "User-Equipment-Info-Value" OctetString MayClear "RFC 8506 section 8.51";
        461 SERVICE_CONTEXT_ID "Service-Context-Id" UTF8String M "RFC 8506 section 8.42";
    }

    vendor 10415 {
        // TS 29.061 section 16.4.7: RADIUS attributes of 3GPP as AVPs
        1 TGPP_IMSI "3GPP-IMSI" UTF8String MayClear "TS 29.061 section 16.4.7";
        2 TGPP_CHARGING_ID "3GPP-Charging-Id" OctetString MayClear "TS 29.061 section 16.4.7";
        3 TGPP_PDP_TYPE "3GPP-PDP-Type" Enumerated MayClear "TS 29.061 section 16.4.7";
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

        // TS 29.214, TS 29.212, TS 29.329, TS 29.229
        515 MAX_REQUESTED_BANDWIDTH_DL "Max-Requested-Bandwidth-DL" Unsigned32 MaySet "TS 29.214 section 5.3.14";
        516 MAX_REQUESTED_BANDWIDTH_UL "Max-Requested-Bandwidth-UL" Unsigned32 MaySet "TS 29.214 section 5.3.15";
        600 VISITED_NETWORK_IDENTIFIER "Visited-Network-Identifier" OctetString MaySet "TS 29.229 section 6.3.1";
        628 SUPPORTED_FEATURES "Supported-Features" Grouped MayClear "TS 29.229 section 6.3.29";
        629 FEATURE_LIST_ID "Feature-List-ID" Unsigned32 MayClear "TS 29.229 section 6.3.30";
        630 FEATURE_LIST "Feature-List" Unsigned32 MayClear "TS 29.229 section 6.3.31";
        701 MSISDN "MSISDN" OctetString MaySet "TS 29.329 section 6.3.2";
        848 SERVED_PARTY_IP_ADDRESS "Served-Party-IP-Address" Address MaySet "TS 32.299 section 7.2.187";
        1004 CHARGING_RULE_BASE_NAME "Charging-Rule-Base-Name" UTF8String MaySet "TS 29.212 section 5.3.3";
        1016 QOS_INFORMATION "QoS-Information" Grouped MaySet "TS 29.212 section 5.3.16";
        1028 QOS_CLASS_IDENTIFIER "QoS-Class-Identifier" Enumerated MaySet "TS 29.212 section 5.3.17";
        1032 RAT_TYPE "RAT-Type" Enumerated MayClear "TS 29.212 section 5.3.31";
        1034 ALLOCATION_RETENTION_PRIORITY "Allocation-Retention-Priority" Grouped MaySet "TS 29.212 section 5.3.32";
        1040 APN_AGGREGATE_MAX_BITRATE_DL "APN-Aggregate-Max-Bitrate-DL" Unsigned32 MayClear "TS 29.212 section 5.3.39";
        1041 APN_AGGREGATE_MAX_BITRATE_UL "APN-Aggregate-Max-Bitrate-UL" Unsigned32 MayClear "TS 29.212 section 5.3.40";
        1046 PRIORITY_LEVEL "Priority-Level" Unsigned32 MaySet "TS 29.212 section 5.3.45";
        1047 PRE_EMPTION_CAPABILITY "Pre-emption-Capability" Enumerated MaySet "TS 29.212 section 5.3.46";
        1048 PRE_EMPTION_VULNERABILITY "Pre-emption-Vulnerability" Enumerated MaySet "TS 29.212 section 5.3.47";

        // TS 32.299 section 7.2
        847 GGSN_ADDRESS "GGSN-Address" Address MaySet "TS 32.299 section 7.2";
        868 TIME_QUOTA_THRESHOLD "Time-Quota-Threshold" Unsigned32 MaySet "TS 32.299 section 7.2";
        869 VOLUME_QUOTA_THRESHOLD "Volume-Quota-Threshold" Unsigned32 MaySet "TS 32.299 section 7.2";
        870 TRIGGER_TYPE "Trigger-Type" Enumerated MaySet "TS 32.299 section 7.2";
        871 QUOTA_HOLDING_TIME "Quota-Holding-Time" Unsigned32 MaySet "TS 32.299 section 7.2";
        872 REPORTING_REASON "Reporting-Reason" Enumerated MaySet "TS 32.299 section 7.2";
        873 SERVICE_INFORMATION "Service-Information" Grouped MaySet "TS 32.299 section 7.2";
        874 PS_INFORMATION "PS-Information" Grouped MaySet "TS 32.299 section 7.2";
        881 QUOTA_CONSUMPTION_TIME "Quota-Consumption-Time" Unsigned32 MaySet "TS 32.299 section 7.2";
        1226 UNIT_QUOTA_THRESHOLD "Unit-Quota-Threshold" Unsigned32 MaySet "TS 32.299 section 7.2";
        1227 PDP_ADDRESS "PDP-Address" Address MaySet "TS 32.299 section 7.2";
        1228 SGSN_ADDRESS "SGSN-Address" Address MaySet "TS 32.299 section 7.2";
        1247 PDP_CONTEXT_TYPE "PDP-Context-Type" Enumerated MaySet "TS 32.299 section 7.2";
        1264 TRIGGER "Trigger" Grouped MaySet "TS 32.299 section 7.2";
        1265 BASE_TIME_INTERVAL "Base-Time-Interval" Unsigned32 MaySet "TS 32.299 section 7.2";
        1266 ENVELOPE "Envelope" Grouped MaySet "TS 32.299 section 7.2";
        1270 TIME_QUOTA_MECHANISM "Time-Quota-Mechanism" Grouped MaySet "TS 32.299 section 7.2";
        1271 TIME_QUOTA_TYPE "Time-Quota-Type" Enumerated MaySet "TS 32.299 section 7.2";
        1278 OFFLINE_CHARGING "Offline-Charging" Grouped MaySet "TS 32.299 section 7.2";
        2020 LOW_BALANCE_INDICATION "Low-Balance-Indication" Enumerated MaySet "TS 32.299 section 7.2";
        2021 REMAINING_BALANCE "Remaining-Balance" Grouped MaySet "TS 32.299 section 7.2";
        2022 REFUND_INFORMATION "Refund-Information" OctetString MaySet "TS 32.299 section 7.2";
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
        2047 SERVING_NODE_TYPE "Serving-Node-Type" Enumerated MaySet "TS 32.299 section 7.2";
        2050 PDN_CONNECTION_CHARGING_ID "PDN-Connection-Charging-ID" Unsigned32 MaySet "TS 32.299 section 7.2";
        2051 DYNAMIC_ADDRESS_FLAG "Dynamic-Address-Flag" Enumerated MaySet "TS 32.299 section 7.2";
        2063 LOCAL_SEQUENCE_NUMBER "Local-Sequence-Number" Unsigned32 MaySet "TS 32.299 section 7.2";
        2064 NODE_ID "Node-Id" UTF8String MaySet "TS 32.299 section 7.2";
        2066 CHARGING_CHARACTERISTICS_SELECTION_MODE "Charging-Characteristics-Selection-Mode" Enumerated MaySet "TS 32.299 section 7.2";
        2067 SGW_ADDRESS "SGW-Address" Address MaySet "TS 32.299 section 7.2";
        2606 PDP_ADDRESS_PREFIX_LENGTH "PDP-Address-Prefix-Length" Unsigned32 MaySet "TS 32.299 section 7.2";

        // TS 29.272 section 7.3
        1400 SUBSCRIPTION_DATA "Subscription-Data" Grouped M "TS 29.272 section 7.3.2";
        1401 TERMINAL_INFORMATION "Terminal-Information" Grouped M "TS 29.272 section 7.3.3";
        1402 IMEI "IMEI" UTF8String M "TS 29.272 section 7.3.4";
        1403 SOFTWARE_VERSION "Software-Version" UTF8String M "TS 29.272 section 7.3.5";
        1405 ULR_FLAGS "ULR-Flags" Unsigned32 M "TS 29.272 section 7.3.7";
        1406 ULA_FLAGS "ULA-Flags" Unsigned32 M "TS 29.272 section 7.3.8";
        1407 VISITED_PLMN_ID "Visited-PLMN-Id" OctetString M "TS 29.272 section 7.3.9";
        1408 REQUESTED_EUTRAN_AUTHENTICATION_INFO "Requested-EUTRAN-Authentication-Info" Grouped M "TS 29.272 section 7.3.11";
        1409 REQUESTED_UTRAN_GERAN_AUTHENTICATION_INFO "Requested-UTRAN-GERAN-Authentication-Info" Grouped M "TS 29.272 section 7.3.12";
        1410 NUMBER_OF_REQUESTED_VECTORS "Number-Of-Requested-Vectors" Unsigned32 M "TS 29.272 section 7.3.14";
        1411 RE_SYNCHRONIZATION_INFO "Re-Synchronization-Info" OctetString M "TS 29.272 section 7.3.15";
        1412 IMMEDIATE_RESPONSE_PREFERRED "Immediate-Response-Preferred" Unsigned32 M "TS 29.272 section 7.3.16";
        1413 AUTHENTICATION_INFO "Authentication-Info" Grouped M "TS 29.272 section 7.3.17";
        1417 NETWORK_ACCESS_MODE "Network-Access-Mode" Enumerated M "TS 29.272 section 7.3.21";
        1420 CANCELLATION_TYPE "Cancellation-Type" Enumerated M "TS 29.272 section 7.3.24";
        1421 DSR_FLAGS "DSR-Flags" Unsigned32 M "TS 29.272 section 7.3.25";
        1422 DSA_FLAGS "DSA-Flags" Unsigned32 M "TS 29.272 section 7.3.26";
        1423 CONTEXT_IDENTIFIER "Context-Identifier" Unsigned32 M "TS 29.272 section 7.3.27";
        1424 SUBSCRIBER_STATUS "Subscriber-Status" Enumerated M "TS 29.272 section 7.3.29";
        1425 OPERATOR_DETERMINED_BARRING "Operator-Determined-Barring" Unsigned32 M "TS 29.272 section 7.3.30";
        1426 ACCESS_RESTRICTION_DATA "Access-Restriction-Data" Unsigned32 M "TS 29.272 section 7.3.31";
        1427 APN_OI_REPLACEMENT "APN-OI-Replacement" UTF8String M "TS 29.272 section 7.3.32";
        1428 ALL_APN_CONFIGURATIONS_INCLUDED_INDICATOR "All-APN-Configurations-Included-Indicator" Enumerated M "TS 29.272 section 7.3.33";
        1429 APN_CONFIGURATION_PROFILE "APN-Configuration-Profile" Grouped M "TS 29.272 section 7.3.34";
        1430 APN_CONFIGURATION "APN-Configuration" Grouped M "TS 29.272 section 7.3.35";
        1431 EPS_SUBSCRIBED_QOS_PROFILE "EPS-Subscribed-QoS-Profile" Grouped M "TS 29.272 section 7.3.37";
        1432 VPLMN_DYNAMIC_ADDRESS_ALLOWED "VPLMN-Dynamic-Address-Allowed" Enumerated M "TS 29.272 section 7.3.38";
        1434 ALERT_REASON "Alert-Reason" Enumerated M "TS 29.272 section 7.3.83";
        1435 AMBR "AMBR" Grouped M "TS 29.272 section 7.3.41";
        1438 PDN_GW_ALLOCATION_TYPE "PDN-GW-Allocation-Type" Enumerated M "TS 29.272 section 7.3.44";
        1440 RAT_FREQUENCY_SELECTION_PRIORITY_ID "RAT-Frequency-Selection-Priority-ID" Unsigned32 M "TS 29.272 section 7.3.46";
        1441 IDA_FLAGS "IDA-Flags" Unsigned32 M "TS 29.272 section 7.3.47";
        1442 PUA_FLAGS "PUA-Flags" Unsigned32 M "TS 29.272 section 7.3.48";
        1443 NOR_FLAGS "NOR-Flags" Unsigned32 M "TS 29.272 section 7.3.49";
        1444 USER_ID "User-Id" UTF8String MayClear "TS 29.272 section 7.3.50";
        1456 PDN_TYPE "PDN-Type" Enumerated M "TS 29.272 section 7.3.62";
        1489 SGSN_NUMBER "SGSN-Number" OctetString M "TS 29.272 section 7.3.102";
        1490 IDR_FLAGS "IDR-Flags" Unsigned32 M "TS 29.272 section 7.3.103";
        1493 HOMOGENEOUS_SUPPORT_OF_IMS_VOICE "Homogeneous-Support-of-IMS-Voice-Over-PS-Sessions" Enumerated MayClear "TS 29.272 section 7.3.107";
        1614 ERROR_DIAGNOSTIC "Error-Diagnostic" Enumerated MayClear "TS 29.272 section 7.3.128";
        1615 UE_SRVCC_CAPABILITY "UE-SRVCC-Capability" Enumerated MayClear "TS 29.272 section 7.3.130";
        1619 SUBSCRIBED_PERIODIC_RAU_TAU_TIMER "Subscribed-Periodic-RAU-TAU-Timer" Unsigned32 MayClear "TS 29.272 section 7.3.134";
        1635 PUR_FLAGS "PUR-Flags" Unsigned32 MayClear "TS 29.272 section 7.3.149";
        1637 EQUIVALENT_PLMN_LIST "Equivalent-PLMN-List" Grouped MayClear "TS 29.272 section 7.3.151";
        1638 CLR_FLAGS "CLR-Flags" Unsigned32 MayClear "TS 29.272 section 7.3.152";
    }

    // Line provisioning, published in dictionary/line-provisioning.xml
    vendor 32473 {
        1 LP_ORDER_ID "Order-Id" UTF8String M "line provisioning";
        2 LP_LINE_ID "Line-Id" UTF8String M "line provisioning";
        3 LP_ACTION "Action" Enumerated M "line provisioning";
        4 LP_ACCESS "Access" Enumerated M "line provisioning";
        5 LP_IMSI "IMSI" UTF8String M "line provisioning";
        6 LP_MSISDN "MSISDN" UTF8String M "line provisioning";
        7 LP_APN "APN" UTF8String M "line provisioning";
        8 LP_PLAN "Plan" UTF8String M "line provisioning";
        9 LP_SERVICE_ADDRESS "Service-Address" UTF8String M "line provisioning";
        10 LP_DEVICE_ID "Device-Id" UTF8String M "line provisioning";
        11 LP_LINE_STATE "Line-State" Enumerated M "line provisioning";
        12 LP_LINE_VERSION "Line-Version" Unsigned64 M "line provisioning";
        13 LP_LAST_ORDER_ID "Last-Order-Id" UTF8String M "line provisioning";
        14 LP_CHARACTERISTICS "Characteristics" Grouped M "line provisioning";
    }
}
