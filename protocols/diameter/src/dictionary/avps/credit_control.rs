//! RFC 8506 section 8.

avps! { vendor 0 {
    411 CC_CORRELATION_ID "CC-Correlation-Id" OctetString MayClear "RFC 8506 section 8.1";
    412 CC_INPUT_OCTETS "CC-Input-Octets" Unsigned64 M "RFC 8506 section 8.24";
    413 CC_MONEY "CC-Money" Grouped M "RFC 8506 section 8.22";
    414 CC_OUTPUT_OCTETS "CC-Output-Octets" Unsigned64 M "RFC 8506 section 8.25";
    415 CC_REQUEST_NUMBER "CC-Request-Number" Unsigned32 M "RFC 8506 section 8.2";
    416 CC_REQUEST_TYPE "CC-Request-Type" Enumerated M "RFC 8506 section 8.3" [
        1 "INITIAL_REQUEST", 2 "UPDATE_REQUEST", 3 "TERMINATION_REQUEST", 4 "EVENT_REQUEST",
    ];
    417 CC_SERVICE_SPECIFIC_UNITS "CC-Service-Specific-Units" Unsigned64 M "RFC 8506 section 8.26";
    418 CC_SESSION_FAILOVER "CC-Session-Failover" Enumerated M "RFC 8506 section 8.4" [
        0 "FAILOVER_NOT_SUPPORTED", 1 "FAILOVER_SUPPORTED",
    ];
    419 CC_SUB_SESSION_ID "CC-Sub-Session-Id" Unsigned64 M "RFC 8506 section 8.5";
    420 CC_TIME "CC-Time" Unsigned32 M "RFC 8506 section 8.21";
    421 CC_TOTAL_OCTETS "CC-Total-Octets" Unsigned64 M "RFC 8506 section 8.23";
    422 CHECK_BALANCE_RESULT "Check-Balance-Result" Enumerated M "RFC 8506 section 8.6" [
        0 "ENOUGH_CREDIT", 1 "NO_CREDIT",
    ];
    423 COST_INFORMATION "Cost-Information" Grouped M "RFC 8506 section 8.7";
    424 COST_UNIT "Cost-Unit" UTF8String M "RFC 8506 section 8.12";
    425 CURRENCY_CODE "Currency-Code" Unsigned32 M "RFC 8506 section 8.11";
    426 CREDIT_CONTROL "Credit-Control" Enumerated M "RFC 8506 section 8.13" [
        0 "CREDIT_AUTHORIZATION", 1 "RE_AUTHORIZATION",
    ];
    427 CREDIT_CONTROL_FAILURE_HANDLING "Credit-Control-Failure-Handling" Enumerated M "RFC 8506 section 8.14" [
        0 "TERMINATE", 1 "CONTINUE", 2 "RETRY_AND_TERMINATE",
    ];
    428 DIRECT_DEBITING_FAILURE_HANDLING "Direct-Debiting-Failure-Handling" Enumerated M "RFC 8506 section 8.15" [
        0 "TERMINATE_OR_BUFFER", 1 "CONTINUE",
    ];
    429 EXPONENT "Exponent" Integer32 M "RFC 8506 section 8.9";
    430 FINAL_UNIT_INDICATION "Final-Unit-Indication" Grouped M "RFC 8506 section 8.34";
    431 GRANTED_SERVICE_UNIT "Granted-Service-Unit" Grouped M "RFC 8506 section 8.17";
    432 RATING_GROUP "Rating-Group" Unsigned32 M "RFC 8506 section 8.29";
    433 REDIRECT_ADDRESS_TYPE "Redirect-Address-Type" Enumerated M "RFC 8506 section 8.38" [
        0 "IPV4_ADDRESS", 1 "IPV6_ADDRESS", 2 "URL", 3 "SIP_URI",
    ];
    434 REDIRECT_SERVER "Redirect-Server" Grouped M "RFC 8506 section 8.37";
    435 REDIRECT_SERVER_ADDRESS "Redirect-Server-Address" UTF8String M "RFC 8506 section 8.39";
    436 REQUESTED_ACTION "Requested-Action" Enumerated M "RFC 8506 section 8.41" [
        0 "DIRECT_DEBITING", 1 "REFUND_ACCOUNT", 2 "CHECK_BALANCE", 3 "PRICE_ENQUIRY",
    ];
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
    449 FINAL_UNIT_ACTION "Final-Unit-Action" Enumerated M "RFC 8506 section 8.35" [
        0 "TERMINATE", 1 "REDIRECT", 2 "RESTRICT_ACCESS",
    ];
    450 SUBSCRIPTION_ID_TYPE "Subscription-Id-Type" Enumerated M "RFC 8506 section 8.47" [
        0 "END_USER_E164", 1 "END_USER_IMSI", 2 "END_USER_SIP_URI", 3 "END_USER_NAI", 4 "END_USER_PRIVATE",
    ];
    451 TARIFF_TIME_CHANGE "Tariff-Time-Change" Time M "RFC 8506 section 8.20";
    452 TARIFF_CHANGE_USAGE "Tariff-Change-Usage" Enumerated M "RFC 8506 section 8.27" [
        0 "UNIT_BEFORE_TARIFF_CHANGE", 1 "UNIT_AFTER_TARIFF_CHANGE", 2 "UNIT_INDETERMINATE",
    ];
    453 G_S_U_POOL_IDENTIFIER "G-S-U-Pool-Identifier" Unsigned32 M "RFC 8506 section 8.31";
    454 CC_UNIT_TYPE "CC-Unit-Type" Enumerated M "RFC 8506 section 8.32" [
        0 "TIME", 1 "MONEY", 2 "TOTAL-OCTETS", 3 "INPUT-OCTETS", 4 "OUTPUT-OCTETS", 5 "SERVICE-SPECIFIC-UNITS",
    ];
    455 MULTIPLE_SERVICES_INDICATOR "Multiple-Services-Indicator" Enumerated M "RFC 8506 section 8.40" [
        0 "MULTIPLE_SERVICES_NOT_SUPPORTED", 1 "MULTIPLE_SERVICES_SUPPORTED",
    ];
    456 MULTIPLE_SERVICES_CREDIT_CONTROL "Multiple-Services-Credit-Control" Grouped M "RFC 8506 section 8.16";
    457 G_S_U_POOL_REFERENCE "G-S-U-Pool-Reference" Grouped M "RFC 8506 section 8.30";
    458 USER_EQUIPMENT_INFO "User-Equipment-Info" Grouped MayClear "RFC 8506 section 8.49";
    459 USER_EQUIPMENT_INFO_TYPE "User-Equipment-Info-Type" Enumerated MayClear "RFC 8506 section 8.50" [
        0 "IMEISV", 1 "MAC", 2 "EUI64", 3 "MODIFIED_EUI64",
    ];
    460 USER_EQUIPMENT_INFO_VALUE "User-Equipment-Info-Value" OctetString MayClear "RFC 8506 section 8.51";
    461 SERVICE_CONTEXT_ID "Service-Context-Id" UTF8String M "RFC 8506 section 8.42";
    653 USER_EQUIPMENT_INFO_EXTENSION "User-Equipment-Info-Extension" Grouped MayClear "RFC 8506 section 8.52";
    654 USER_EQUIPMENT_INFO_IMEISV "User-Equipment-Info-IMEISV" OctetString MayClear "RFC 8506 section 8.53";
    655 USER_EQUIPMENT_INFO_MAC "User-Equipment-Info-MAC" OctetString MayClear "RFC 8506 section 8.54";
    656 USER_EQUIPMENT_INFO_EUI64 "User-Equipment-Info-EUI64" OctetString MayClear "RFC 8506 section 8.55";
    657 USER_EQUIPMENT_INFO_MODIFIEDEUI64 "User-Equipment-Info-ModifiedEUI64" OctetString MayClear "RFC 8506 section 8.56";
    658 USER_EQUIPMENT_INFO_IMEI "User-Equipment-Info-IMEI" OctetString MayClear "RFC 8506 section 8.57";
    659 SUBSCRIPTION_ID_EXTENSION "Subscription-Id-Extension" Grouped MayClear "RFC 8506 section 8.58";
    660 SUBSCRIPTION_ID_E164 "Subscription-Id-E164" UTF8String MayClear "RFC 8506 section 8.59";
    661 SUBSCRIPTION_ID_IMSI "Subscription-Id-IMSI" UTF8String MayClear "RFC 8506 section 8.60";
    662 SUBSCRIPTION_ID_SIP_URI "Subscription-Id-SIP-URI" UTF8String MayClear "RFC 8506 section 8.61";
    663 SUBSCRIPTION_ID_NAI "Subscription-Id-NAI" UTF8String MayClear "RFC 8506 section 8.62";
    664 SUBSCRIPTION_ID_PRIVATE "Subscription-Id-Private" UTF8String MayClear "RFC 8506 section 8.63";
    665 REDIRECT_SERVER_EXTENSION "Redirect-Server-Extension" Grouped MayClear "RFC 8506 section 8.64";
    666 REDIRECT_ADDRESS_IPADDRESS "Redirect-Address-IPAddress" Address MayClear "RFC 8506 section 8.65";
    667 REDIRECT_ADDRESS_URL "Redirect-Address-URL" UTF8String MayClear "RFC 8506 section 8.66";
    668 REDIRECT_ADDRESS_SIP_URI "Redirect-Address-SIP-URI" UTF8String MayClear "RFC 8506 section 8.67";
    669 QOS_FINAL_UNIT_INDICATION "QoS-Final-Unit-Indication" Grouped MayClear "RFC 8506 section 8.68";
} }
