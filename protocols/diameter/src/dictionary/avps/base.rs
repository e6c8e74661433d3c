//! RFC 6733 section 4.5 and the AVPs of other RFCs that its commands carry.

avps! { vendor 0 {
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
    124 MIP6_FEATURE_VECTOR "MIP6-Feature-Vector" Unsigned64 MaySet "RFC 5447 section 4.2.5";
    125 MIP6_HOME_LINK_PREFIX "MIP6-Home-Link-Prefix" OctetString MaySet "RFC 5447 section 4.2.4";
    257 HOST_IP_ADDRESS "Host-IP-Address" Address M "RFC 6733 section 5.3.5";
    258 AUTH_APPLICATION_ID "Auth-Application-Id" Unsigned32 M "RFC 6733 section 6.8";
    259 ACCT_APPLICATION_ID "Acct-Application-Id" Unsigned32 M "RFC 6733 section 6.9";
    260 VENDOR_SPECIFIC_APPLICATION_ID "Vendor-Specific-Application-Id" Grouped M "RFC 6733 section 6.11";
    261 REDIRECT_HOST_USAGE "Redirect-Host-Usage" Enumerated M "RFC 6733 section 6.13" [
        0 "DONT_CACHE", 1 "ALL_SESSION", 2 "ALL_REALM", 3 "REALM_AND_APPLICATION", 4 "ALL_APPLICATION", 5 "ALL_HOST",
        6 "ALL_USER",
    ];
    262 REDIRECT_MAX_CACHE_TIME "Redirect-Max-Cache-Time" Unsigned32 M "RFC 6733 section 6.14";
    263 SESSION_ID "Session-Id" UTF8String M "RFC 6733 section 8.8";
    264 ORIGIN_HOST "Origin-Host" DiameterIdentity M "RFC 6733 section 6.3";
    265 SUPPORTED_VENDOR_ID "Supported-Vendor-Id" Unsigned32 M "RFC 6733 section 5.3.6";
    266 VENDOR_ID "Vendor-Id" Unsigned32 M "RFC 6733 section 5.3.3";
    267 FIRMWARE_REVISION "Firmware-Revision" Unsigned32 Never "RFC 6733 section 5.3.4";
    268 RESULT_CODE "Result-Code" Unsigned32 M "RFC 6733 section 7.1";
    269 PRODUCT_NAME "Product-Name" UTF8String Never "RFC 6733 section 5.3.7";
    270 SESSION_BINDING "Session-Binding" Unsigned32 M "RFC 6733 section 8.17";
    271 SESSION_SERVER_FAILOVER "Session-Server-Failover" Enumerated M "RFC 6733 section 8.18" [
        0 "REFUSE_SERVICE", 1 "TRY_AGAIN", 2 "ALLOW_SERVICE", 3 "TRY_AGAIN_ALLOW_SERVICE",
    ];
    272 MULTI_ROUND_TIME_OUT "Multi-Round-Time-Out" Unsigned32 M "RFC 6733 section 8.19";
    273 DISCONNECT_CAUSE "Disconnect-Cause" Enumerated M "RFC 6733 section 5.4.3" [
        0 "REBOOTING", 1 "BUSY", 2 "DO_NOT_WANT_TO_TALK_TO_YOU",
    ];
    274 AUTH_REQUEST_TYPE "Auth-Request-Type" Enumerated M "RFC 6733 section 8.7" [
        1 "AUTHENTICATE_ONLY", 2 "AUTHORIZE_ONLY", 3 "AUTHORIZE_AUTHENTICATE",
    ];
    276 AUTH_GRACE_PERIOD "Auth-Grace-Period" Unsigned32 M "RFC 6733 section 8.10";
    277 AUTH_SESSION_STATE "Auth-Session-State" Enumerated M "RFC 6733 section 8.11" [
        0 "STATE_MAINTAINED", 1 "NO_STATE_MAINTAINED",
    ];
    278 ORIGIN_STATE_ID "Origin-State-Id" Unsigned32 M "RFC 6733 section 8.16";
    279 FAILED_AVP "Failed-AVP" Grouped M "RFC 6733 section 7.5";
    280 PROXY_HOST "Proxy-Host" DiameterIdentity M "RFC 6733 section 6.7.3";
    281 ERROR_MESSAGE "Error-Message" UTF8String Never "RFC 6733 section 7.3";
    282 ROUTE_RECORD "Route-Record" DiameterIdentity M "RFC 6733 section 6.7.1";
    283 DESTINATION_REALM "Destination-Realm" DiameterIdentity M "RFC 6733 section 6.6";
    284 PROXY_INFO "Proxy-Info" Grouped M "RFC 6733 section 6.7.2";
    285 RE_AUTH_REQUEST_TYPE "Re-Auth-Request-Type" Enumerated M "RFC 6733 section 8.12" [
        0 "AUTHORIZE_ONLY", 1 "AUTHORIZE_AUTHENTICATE",
    ];
    287 ACCOUNTING_SUB_SESSION_ID "Accounting-Sub-Session-Id" Unsigned64 M "RFC 6733 section 9.8.6";
    291 AUTHORIZATION_LIFETIME "Authorization-Lifetime" Unsigned32 M "RFC 6733 section 8.9";
    292 REDIRECT_HOST "Redirect-Host" DiameterURI M "RFC 6733 section 6.12";
    293 DESTINATION_HOST "Destination-Host" DiameterIdentity M "RFC 6733 section 6.5";
    294 ERROR_REPORTING_HOST "Error-Reporting-Host" DiameterIdentity Never "RFC 6733 section 7.4";
    295 TERMINATION_CAUSE "Termination-Cause" Enumerated M "RFC 6733 section 8.15" [
        1 "DIAMETER_LOGOUT", 2 "DIAMETER_SERVICE_NOT_PROVIDED", 3 "DIAMETER_BAD_ANSWER", 4 "DIAMETER_ADMINISTRATIVE",
        5 "DIAMETER_LINK_BROKEN", 6 "DIAMETER_AUTH_EXPIRED", 7 "DIAMETER_USER_MOVED", 8 "DIAMETER_SESSION_TIMEOUT",
    ];
    296 ORIGIN_REALM "Origin-Realm" DiameterIdentity M "RFC 6733 section 6.4";
    297 EXPERIMENTAL_RESULT "Experimental-Result" Grouped M "RFC 6733 section 7.6";
    298 EXPERIMENTAL_RESULT_CODE "Experimental-Result-Code" Unsigned32 M "RFC 6733 section 7.7";
    299 INBAND_SECURITY_ID "Inband-Security-Id" Unsigned32 M "RFC 6733 section 6.10" [0 "NO_INBAND_SECURITY", 1 "TLS"];
    301 DRMP "DRMP" Enumerated MayClear "RFC 7944 section 9.1" [
        0 "PRIORITY_0", 1 "PRIORITY_1", 2 "PRIORITY_2", 3 "PRIORITY_3", 4 "PRIORITY_4", 5 "PRIORITY_5",
        6 "PRIORITY_6", 7 "PRIORITY_7", 8 "PRIORITY_8", 9 "PRIORITY_9", 10 "PRIORITY_10", 11 "PRIORITY_11",
        12 "PRIORITY_12", 13 "PRIORITY_13", 14 "PRIORITY_14", 15 "PRIORITY_15",
    ];
    334 MIP_HOME_AGENT_ADDRESS "MIP-Home-Agent-Address" Address MaySet "RFC 5447 section 4.2.2";
    348 MIP_HOME_AGENT_HOST "MIP-Home-Agent-Host" Grouped MaySet "RFC 5447 section 4.2.3";
    363 ACCOUNTING_INPUT_OCTETS "Accounting-Input-Octets" Unsigned64 M "RFC 7155 section 4.6.1";
    364 ACCOUNTING_OUTPUT_OCTETS "Accounting-Output-Octets" Unsigned64 M "RFC 7155 section 4.6.2";
    365 ACCOUNTING_INPUT_PACKETS "Accounting-Input-Packets" Unsigned64 M "RFC 7155 section 4.6.3";
    366 ACCOUNTING_OUTPUT_PACKETS "Accounting-Output-Packets" Unsigned64 M "RFC 7155 section 4.6.4";
    400 FILTER_RULE "Filter-Rule" Grouped M "RFC 5777 section 4.1.1";
    480 ACCOUNTING_RECORD_TYPE "Accounting-Record-Type" Enumerated M "RFC 6733 section 9.8.1" [
        1 "EVENT_RECORD", 2 "START_RECORD", 3 "INTERIM_RECORD", 4 "STOP_RECORD",
    ];
    483 ACCOUNTING_REALTIME_REQUIRED "Accounting-Realtime-Required" Enumerated M "RFC 6733 section 9.8.7" [
        1 "DELIVER_AND_GRANT", 2 "GRANT_AND_STORE", 3 "GRANT_AND_LOSE",
    ];
    485 ACCOUNTING_RECORD_NUMBER "Accounting-Record-Number" Unsigned32 M "RFC 6733 section 9.8.3";
    486 MIP6_AGENT_INFO "MIP6-Agent-Info" Grouped MaySet "RFC 5447 section 4.2.1";
    493 SERVICE_SELECTION "Service-Selection" UTF8String M "RFC 5778 section 6.2";
    621 OC_SUPPORTED_FEATURES "OC-Supported-Features" Grouped MayClear "RFC 7683 section 7.1";
    622 OC_FEATURE_VECTOR "OC-Feature-Vector" Unsigned64 MayClear "RFC 7683 section 7.2";
    623 OC_OLR "OC-OLR" Grouped MayClear "RFC 7683 section 7.3";
    624 OC_SEQUENCE_NUMBER "OC-Sequence-Number" Unsigned64 MayClear "RFC 7683 section 7.4";
    625 OC_VALIDITY_DURATION "OC-Validity-Duration" Unsigned32 MayClear "RFC 7683 section 7.5";
    626 OC_REPORT_TYPE "OC-Report-Type" Enumerated MayClear "RFC 7683 section 7.6";
    627 OC_REDUCTION_PERCENTAGE "OC-Reduction-Percentage" Unsigned32 MayClear "RFC 7683 section 7.7";
    649 SOURCE_ID "SourceID" DiameterIdentity MayClear "RFC 8581";
    650 LOAD "Load" Grouped MayClear "RFC 8583 section 6.1";
    651 LOAD_TYPE "Load-Type" Enumerated MayClear "RFC 8583 section 6.2";
    652 LOAD_VALUE "Load-Value" Unsigned64 MayClear "RFC 8583 section 6.3";
} }
