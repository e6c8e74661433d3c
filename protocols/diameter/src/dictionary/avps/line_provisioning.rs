//! Line provisioning, published in `dictionary/line-provisioning.xml`.

avps! { vendor 32473 {
    1 LP_ORDER_ID "Order-Id" UTF8String M "line provisioning";
    2 LP_LINE_ID "Line-Id" UTF8String M "line provisioning";
    3 LP_ACTION "Action" Enumerated M "line provisioning" [
        1 "ACTIVATE", 2 "SUSPEND", 3 "RESUME", 4 "TERMINATE", 5 "MODIFY", 6 "RECONNECT",
    ];
    4 LP_ACCESS "Access" Enumerated M "line provisioning" [0 "CELLULAR", 1 "INTERNET", 2 "TV"];
    5 LP_IMSI "IMSI" UTF8String M "line provisioning";
    6 LP_MSISDN "MSISDN" UTF8String M "line provisioning";
    7 LP_APN "APN" UTF8String M "line provisioning";
    8 LP_PLAN "Plan" UTF8String M "line provisioning";
    9 LP_SERVICE_ADDRESS "Service-Address" UTF8String M "line provisioning";
    10 LP_DEVICE_ID "Device-Id" UTF8String M "line provisioning";
    11 LP_LINE_STATE "Line-State" Enumerated M "line provisioning" [
        0 "ABSENT", 1 "ACTIVE", 2 "SUSPENDED", 3 "TERMINATED",
    ];
    12 LP_LINE_VERSION "Line-Version" Unsigned64 M "line provisioning";
    13 LP_LAST_ORDER_ID "Last-Order-Id" UTF8String M "line provisioning";
    14 LP_CHARACTERISTICS "Characteristics" Grouped M "line provisioning";
} }
