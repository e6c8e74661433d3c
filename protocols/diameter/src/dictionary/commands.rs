//! Commands and their grammars, in the notation of RFC 6733 section 3.2.

use super::avps::*;
use super::grammar::{Grammar, Rule, grammar};
use super::{application, command};

/// One command of the dictionary.
#[derive(Debug, Clone, Copy)]
pub struct CommandDef {
    /// Command code.
    pub code: u32,
    /// Application id; `None` for a command of every session application.
    pub application: Option<u32>,
    /// The standard's name without Request or Answer.
    pub name: &'static str,
    /// The P bit that its request must carry.
    pub proxiable: bool,
    /// Grammar of the request.
    pub request: &'static Grammar,
    /// Grammar of the answer.
    pub answer: &'static Grammar,
}

/// Every command of the dictionary; the busiest come first.
pub const COMMANDS: &[CommandDef] = &[
    // RFC 8506 section 3 with the AVPs of TS 32.299 section 6.4
    CommandDef {
        code: command::CREDIT_CONTROL,
        application: Some(application::CREDIT_CONTROL),
        name: "Credit-Control",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {ORIGIN_HOST} {ORIGIN_REALM} {DESTINATION_REALM} {AUTH_APPLICATION_ID}
            {SERVICE_CONTEXT_ID} {CC_REQUEST_TYPE} {CC_REQUEST_NUMBER} [DESTINATION_HOST]
            [USER_NAME] [CC_SUB_SESSION_ID] [ACCT_MULTI_SESSION_ID] [ORIGIN_STATE_ID]
            [EVENT_TIMESTAMP] *[SUBSCRIPTION_ID] *[SUBSCRIPTION_ID_EXTENSION] [SERVICE_IDENTIFIER] [TERMINATION_CAUSE]
            [REQUESTED_SERVICE_UNIT] [REQUESTED_ACTION] *[USED_SERVICE_UNIT]
            [MULTIPLE_SERVICES_INDICATOR] *[MULTIPLE_SERVICES_CREDIT_CONTROL]
            *[SERVICE_PARAMETER_INFO] [CC_CORRELATION_ID] [USER_EQUIPMENT_INFO]
            [USER_EQUIPMENT_INFO_EXTENSION] *[PROXY_INFO] *[ROUTE_RECORD] [SERVICE_INFORMATION]
            [OC_SUPPORTED_FEATURES] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} {AUTH_APPLICATION_ID}
            {CC_REQUEST_TYPE} {CC_REQUEST_NUMBER} [USER_NAME] [CC_SESSION_FAILOVER]
            [CC_SUB_SESSION_ID] [ACCT_MULTI_SESSION_ID] [ORIGIN_STATE_ID] [EVENT_TIMESTAMP]
            [GRANTED_SERVICE_UNIT] *[MULTIPLE_SERVICES_CREDIT_CONTROL] [COST_INFORMATION]
            [FINAL_UNIT_INDICATION] [QOS_FINAL_UNIT_INDICATION] [CHECK_BALANCE_RESULT]
            [CREDIT_CONTROL_FAILURE_HANDLING] [DIRECT_DEBITING_FAILURE_HANDLING] [VALIDITY_TIME] *[REDIRECT_HOST]
            [REDIRECT_HOST_USAGE] [REDIRECT_MAX_CACHE_TIME] *[PROXY_INFO] *[ROUTE_RECORD]
            *[FAILED_AVP] [SERVICE_INFORMATION] [REMAINING_BALANCE] [LOW_BALANCE_INDICATION]
            [ERROR_MESSAGE] [ERROR_REPORTING_HOST] [OC_SUPPORTED_FEATURES] [OC_OLR] *[LOAD] *[AVP]
        },
    },
    // RFC 6733 sections 9.7.1 and 9.7.2 with the AVPs of TS 32.299 section 6.2
    CommandDef {
        code: command::ACCOUNTING,
        application: Some(application::ACCOUNTING),
        name: "Accounting",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {ORIGIN_HOST} {ORIGIN_REALM} {DESTINATION_REALM} {ACCOUNTING_RECORD_TYPE}
            {ACCOUNTING_RECORD_NUMBER} [ACCT_APPLICATION_ID] [VENDOR_SPECIFIC_APPLICATION_ID]
            [USER_NAME] [DESTINATION_HOST] [ACCOUNTING_SUB_SESSION_ID] [ACCT_SESSION_ID]
            [ACCT_MULTI_SESSION_ID] [ACCT_INTERIM_INTERVAL] [ACCOUNTING_REALTIME_REQUIRED]
            [ORIGIN_STATE_ID] [EVENT_TIMESTAMP] *[PROXY_INFO] *[ROUTE_RECORD]
            [SERVICE_CONTEXT_ID] [SERVICE_INFORMATION] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} {ACCOUNTING_RECORD_TYPE}
            {ACCOUNTING_RECORD_NUMBER} [ACCT_APPLICATION_ID] [VENDOR_SPECIFIC_APPLICATION_ID]
            [USER_NAME] [ACCOUNTING_SUB_SESSION_ID] [ACCT_SESSION_ID] [ACCT_MULTI_SESSION_ID]
            [ERROR_MESSAGE] [ERROR_REPORTING_HOST] *[FAILED_AVP] [ACCT_INTERIM_INTERVAL]
            [ACCOUNTING_REALTIME_REQUIRED] [ORIGIN_STATE_ID] [EVENT_TIMESTAMP] *[PROXY_INFO] *[AVP]
        },
    },
    // RFC 6733 sections 5.3.1 and 5.3.2
    CommandDef {
        code: command::CAPABILITIES_EXCHANGE,
        application: Some(application::BASE),
        name: "Capabilities-Exchange",
        proxiable: false,
        request: grammar! {
            {ORIGIN_HOST} {ORIGIN_REALM} 1*{HOST_IP_ADDRESS} {VENDOR_ID} {PRODUCT_NAME}
            [ORIGIN_STATE_ID] *[SUPPORTED_VENDOR_ID] *[AUTH_APPLICATION_ID] *[INBAND_SECURITY_ID]
            *[ACCT_APPLICATION_ID] *[VENDOR_SPECIFIC_APPLICATION_ID] [FIRMWARE_REVISION] *[AVP]
        },
        answer: grammar! {
            {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} 1*{HOST_IP_ADDRESS} {VENDOR_ID}
            {PRODUCT_NAME} [ORIGIN_STATE_ID] [ERROR_MESSAGE] *[FAILED_AVP] *[SUPPORTED_VENDOR_ID]
            *[AUTH_APPLICATION_ID] *[INBAND_SECURITY_ID] *[ACCT_APPLICATION_ID]
            *[VENDOR_SPECIFIC_APPLICATION_ID] [FIRMWARE_REVISION] *[AVP]
        },
    },
    // RFC 6733 sections 5.5.1 and 5.5.2
    CommandDef {
        code: command::DEVICE_WATCHDOG,
        application: Some(application::BASE),
        name: "Device-Watchdog",
        proxiable: false,
        request: grammar! { {ORIGIN_HOST} {ORIGIN_REALM} [ORIGIN_STATE_ID] *[AVP] },
        answer: grammar! {
            {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} [ERROR_MESSAGE] *[FAILED_AVP]
            [ORIGIN_STATE_ID] *[AVP]
        },
    },
    // RFC 6733 sections 5.4.1 and 5.4.2
    CommandDef {
        code: command::DISCONNECT_PEER,
        application: Some(application::BASE),
        name: "Disconnect-Peer",
        proxiable: false,
        request: grammar! { {ORIGIN_HOST} {ORIGIN_REALM} {DISCONNECT_CAUSE} *[AVP] },
        answer: grammar! {
            {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} [ERROR_MESSAGE] *[FAILED_AVP] *[AVP]
        },
    },
    // RFC 6733 sections 8.3.1 and 8.3.2; RFC 8506 section 5.5
    CommandDef {
        code: command::RE_AUTH,
        application: None,
        name: "Re-Auth",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {ORIGIN_HOST} {ORIGIN_REALM} {DESTINATION_REALM} {DESTINATION_HOST}
            {AUTH_APPLICATION_ID} {RE_AUTH_REQUEST_TYPE} [USER_NAME] [ORIGIN_STATE_ID]
            *[PROXY_INFO] *[ROUTE_RECORD] [CC_SUB_SESSION_ID] [G_S_U_POOL_IDENTIFIER]
            [SERVICE_IDENTIFIER] [RATING_GROUP] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} [USER_NAME] [ORIGIN_STATE_ID]
            [ERROR_MESSAGE] [ERROR_REPORTING_HOST] *[FAILED_AVP] *[REDIRECT_HOST]
            [REDIRECT_HOST_USAGE] [REDIRECT_MAX_CACHE_TIME] *[PROXY_INFO] *[AVP]
        },
    },
    // RFC 6733 sections 8.5.1 and 8.5.2
    CommandDef {
        code: command::ABORT_SESSION,
        application: None,
        name: "Abort-Session",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {ORIGIN_HOST} {ORIGIN_REALM} {DESTINATION_REALM} {DESTINATION_HOST}
            {AUTH_APPLICATION_ID} [USER_NAME] [ORIGIN_STATE_ID] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} [USER_NAME] [ORIGIN_STATE_ID]
            [ERROR_MESSAGE] [ERROR_REPORTING_HOST] *[FAILED_AVP] *[REDIRECT_HOST]
            [REDIRECT_HOST_USAGE] [REDIRECT_MAX_CACHE_TIME] *[PROXY_INFO] *[AVP]
        },
    },
    // RFC 6733 sections 8.4.1 and 8.4.2
    CommandDef {
        code: command::SESSION_TERMINATION,
        application: None,
        name: "Session-Termination",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {ORIGIN_HOST} {ORIGIN_REALM} {DESTINATION_REALM} {AUTH_APPLICATION_ID}
            {TERMINATION_CAUSE} [USER_NAME] [DESTINATION_HOST] *[CLASS] [ORIGIN_STATE_ID]
            *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {RESULT_CODE} {ORIGIN_HOST} {ORIGIN_REALM} [USER_NAME] *[CLASS]
            [ERROR_MESSAGE] [ERROR_REPORTING_HOST] *[FAILED_AVP] [ORIGIN_STATE_ID] *[REDIRECT_HOST]
            [REDIRECT_HOST_USAGE] [REDIRECT_MAX_CACHE_TIME] *[PROXY_INFO] *[AVP]
        },
    },
    // TS 29.272 sections 7.2.3 and 7.2.4
    CommandDef {
        code: command::UPDATE_LOCATION,
        application: Some(application::S6A),
        name: "Update-Location",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} [DESTINATION_HOST] {DESTINATION_REALM} {USER_NAME}
            [OC_SUPPORTED_FEATURES] *[SUPPORTED_FEATURES] [TERMINAL_INFORMATION] {RAT_TYPE}
            {ULR_FLAGS} [UE_SRVCC_CAPABILITY] {VISITED_PLMN_ID} [SGSN_NUMBER]
            [HOMOGENEOUS_SUPPORT_OF_IMS_VOICE] [ACTIVE_APN] [EQUIVALENT_PLMN_LIST]
            [MME_NUMBER_FOR_MT_SMS] [COUPLED_NODE_DIAMETER_ID] [SGS_MME_IDENTITY] [DRMP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] [RESULT_CODE] [EXPERIMENTAL_RESULT]
            [ERROR_DIAGNOSTIC] {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM}
            [OC_SUPPORTED_FEATURES] [OC_OLR] *[LOAD] *[SUPPORTED_FEATURES] [ULA_FLAGS]
            [SUBSCRIPTION_DATA] *[RESET_ID] *[FAILED_AVP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
    },
    // TS 29.272 sections 7.2.5 and 7.2.6
    CommandDef {
        code: command::AUTHENTICATION_INFORMATION,
        application: Some(application::S6A),
        name: "Authentication-Information",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} [DESTINATION_HOST] {DESTINATION_REALM} {USER_NAME}
            [OC_SUPPORTED_FEATURES] *[SUPPORTED_FEATURES] [REQUESTED_EUTRAN_AUTHENTICATION_INFO]
            [REQUESTED_UTRAN_GERAN_AUTHENTICATION_INFO] {VISITED_PLMN_ID} [DRMP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] [RESULT_CODE] [EXPERIMENTAL_RESULT]
            [ERROR_DIAGNOSTIC] {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM}
            *[SUPPORTED_FEATURES] [AUTHENTICATION_INFO] *[FAILED_AVP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
    },
    // TS 29.272 sections 7.2.13 and 7.2.14
    CommandDef {
        code: command::PURGE_UE,
        application: Some(application::S6A),
        name: "Purge-UE",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} [DESTINATION_HOST] {DESTINATION_REALM} {USER_NAME}
            [OC_SUPPORTED_FEATURES] [PUR_FLAGS] *[SUPPORTED_FEATURES] [DRMP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] *[SUPPORTED_FEATURES] [RESULT_CODE]
            [EXPERIMENTAL_RESULT] {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM} [PUA_FLAGS]
            *[FAILED_AVP] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
    },
    // TS 29.272 sections 7.2.15 and 7.2.16
    CommandDef {
        code: command::RESET,
        application: Some(application::S6A),
        name: "Reset",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} {DESTINATION_HOST} {DESTINATION_REALM} *[SUPPORTED_FEATURES] *[USER_ID]
            *[RESET_ID] [SUBSCRIPTION_DATA] [DRMP] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
        answer: S6A_PLAIN_ANSWER,
    },
    // TS 29.272 sections 7.2.17 and 7.2.18
    CommandDef {
        code: command::NOTIFY,
        application: Some(application::S6A),
        name: "Notify",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} [DESTINATION_HOST] {DESTINATION_REALM} {USER_NAME}
            [OC_SUPPORTED_FEATURES] *[SUPPORTED_FEATURES] [TERMINAL_INFORMATION]
            [MIP6_AGENT_INFO] [VISITED_NETWORK_IDENTIFIER] [CONTEXT_IDENTIFIER]
            [SERVICE_SELECTION] [ALERT_REASON] [UE_SRVCC_CAPABILITY] [NOR_FLAGS]
            [HOMOGENEOUS_SUPPORT_OF_IMS_VOICE] [MAXIMUM_UE_AVAILABILITY_TIME]
            *[MONITORING_EVENT_CONFIG_STATUS] [DRMP] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
        answer: S6A_PLAIN_ANSWER,
    },
    // TS 29.272 sections 7.2.7 and 7.2.8
    CommandDef {
        code: command::CANCEL_LOCATION,
        application: Some(application::S6A),
        name: "Cancel-Location",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} {DESTINATION_HOST} {DESTINATION_REALM} {USER_NAME}
            *[SUPPORTED_FEATURES] {CANCELLATION_TYPE} [CLR_FLAGS] [DRMP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: S6A_PLAIN_ANSWER,
    },
    // TS 29.272 sections 7.2.9 and 7.2.10
    CommandDef {
        code: command::INSERT_SUBSCRIBER_DATA,
        application: Some(application::S6A),
        name: "Insert-Subscriber-Data",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} {DESTINATION_HOST} {DESTINATION_REALM} {USER_NAME}
            *[SUPPORTED_FEATURES] {SUBSCRIPTION_DATA} [IDR_FLAGS] *[RESET_ID] [DRMP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] *[SUPPORTED_FEATURES] [RESULT_CODE]
            [EXPERIMENTAL_RESULT] {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM}
            [IMS_VOICE_OVER_PS_SESSIONS_SUPPORTED] [LAST_UE_ACTIVITY_TIME] [RAT_TYPE] [IDA_FLAGS]
            [EPS_USER_STATE] [EPS_LOCATION_INFORMATION] [LOCAL_TIME_ZONE] [SUPPORTED_SERVICES]
            *[MONITORING_EVENT_CONFIG_STATUS]
            *[FAILED_AVP] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
    },
    // TS 29.272 sections 7.2.11 and 7.2.12
    CommandDef {
        code: command::DELETE_SUBSCRIBER_DATA,
        application: Some(application::S6A),
        name: "Delete-Subscriber-Data",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} {DESTINATION_HOST} {DESTINATION_REALM} {USER_NAME}
            *[SUPPORTED_FEATURES] {DSR_FLAGS} [SCEF_ID] *[CONTEXT_IDENTIFIER]
            *[REGIONAL_SUBSCRIPTION_ZONE_CODE] [TRACE_REFERENCE] *[TS_CODE] *[SS_CODE] [DRMP] *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] *[SUPPORTED_FEATURES] [RESULT_CODE]
            [EXPERIMENTAL_RESULT] {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM} [DSA_FLAGS]
            *[FAILED_AVP] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
    },
    // line provisioning
    CommandDef {
        code: command::PROVISION,
        application: Some(application::LINE_PROVISIONING),
        name: "Provision",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {VENDOR_SPECIFIC_APPLICATION_ID} {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} [DESTINATION_HOST] {DESTINATION_REALM} {LP_ORDER_ID} {LP_LINE_ID}
            {LP_ACTION} [LP_CHARACTERISTICS] [EVENT_TIMESTAMP] *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {VENDOR_SPECIFIC_APPLICATION_ID} [RESULT_CODE] [EXPERIMENTAL_RESULT]
            {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM} [LP_ORDER_ID] [LP_LINE_ID]
            [LP_LINE_STATE] [LP_LINE_VERSION] [LP_LAST_ORDER_ID] [ERROR_MESSAGE] *[FAILED_AVP]
            *[PROXY_INFO] *[AVP]
        },
    },
    CommandDef {
        code: command::QUERY,
        application: Some(application::LINE_PROVISIONING),
        name: "Query",
        proxiable: true,
        request: grammar! {
            <SESSION_ID> {VENDOR_SPECIFIC_APPLICATION_ID} {AUTH_SESSION_STATE} {ORIGIN_HOST}
            {ORIGIN_REALM} [DESTINATION_HOST] {DESTINATION_REALM} {LP_LINE_ID} *[PROXY_INFO]
            *[ROUTE_RECORD] *[AVP]
        },
        answer: grammar! {
            <SESSION_ID> {VENDOR_SPECIFIC_APPLICATION_ID} [RESULT_CODE] [EXPERIMENTAL_RESULT]
            {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM} [LP_LINE_ID] [LP_LINE_STATE]
            [LP_LINE_VERSION] [LP_LAST_ORDER_ID] [LP_CHARACTERISTICS] [ERROR_MESSAGE]
            *[FAILED_AVP] *[PROXY_INFO] *[AVP]
        },
    },
];

// TS 29.272 sections 7.2.8 and 7.2.18
const S6A_PLAIN_ANSWER: &Grammar = grammar! {
    <SESSION_ID> [VENDOR_SPECIFIC_APPLICATION_ID] *[SUPPORTED_FEATURES] [RESULT_CODE]
    [EXPERIMENTAL_RESULT] {AUTH_SESSION_STATE} {ORIGIN_HOST} {ORIGIN_REALM} *[FAILED_AVP]
    *[PROXY_INFO] *[ROUTE_RECORD] *[AVP]
};
