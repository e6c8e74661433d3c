//! Gy and Rf.

use linegate_diameter::apps::List;
use linegate_diameter::apps::base::TerminationCause;
use linegate_diameter::apps::gy::{
    CcAnswer, CcRequest, CcRequestType, CcSessionFailover, CcUnitType, CheckBalanceResult, DebitingFailureHandling,
    FailedAvp, FailureHandling, FinalUnit, FinalUnitAction, Grant, Money, PoolReference, PsInformation,
    RedirectAddressType, RedirectServer, ReportingReason, RequestedAction, ServiceAnswer, ServiceData,
    ServiceInformation, ServiceRequest, Subscriber, TariffChangeUsage, TrafficVolume, Units, UsedUnit, UserEquipment,
    UserEquipmentType,
};
use linegate_diameter::apps::rf::{AccountingAnswer, AccountingRequest, RecordType};
use linegate_diameter::codec::AvpError;
use linegate_diameter::dictionary as dict;
use linegate_diameter::{Outcome, ResultCode};

use super::{Samples, time, to_gateway};

const CONTEXT: &str = "32251@3gpp.org";
const IMSI: &str = "450080000000001";
const WON: Money = Money { digits: 1200, exponent: -2, currency: Some(410) };

/// One rating group's volume, as Rf counts flows.
const FLOWS: [ServiceData; 1] = [ServiceData {
    rating_group: Some(10),
    service_identifier: Some(1),
    input_octets: Some(5),
    output_octets: Some(6),
    time_usage: Some(7),
    change_time: None,
}];

fn subscriber() -> Subscriber<'static> {
    Subscriber { msisdn: Some("821012345678"), imsi: Some(IMSI) }
}

fn information<'a>(traffic: &'a [TrafficVolume]) -> ServiceInformation<'a> {
    ServiceInformation {
        subscriber: subscriber(),
        ps: Some(PsInformation {
            called_station_id: Some("iot.example"),
            charging_id: Some(&[0, 0, 0, 9]),
            sgsn_mcc_mnc: Some("45008"),
            imsi_mcc_mnc: Some("45008"),
            rat_type: Some(&[8]),
            // TAI and ECGI of 450-08
            user_location: Some(&[0x82, 0x54, 0xf0, 0x80, 0, 1, 0x54, 0xf0, 0x80, 0, 0, 1, 2]),
            charging_characteristics: Some("0800"),
            pdp_address: Some("10.0.0.1".parse().unwrap()),
            sgsn_address: Some("10.0.0.2".parse().unwrap()),
            ggsn_address: Some("2001:db8::1".parse().unwrap()),
            traffic: List::from(traffic),
            service_data: List::from(&FLOWS),
        }),
    }
}

fn units() -> Units {
    Units {
        time: Some(60),
        total_octets: Some(3_000),
        input_octets: Some(1_000),
        output_octets: Some(2_000),
        service_specific: Some(7),
        money: Some(WON),
    }
}

/// Credit control.
pub fn gy(samples: &mut Samples) {
    requests(samples);
    grants(samples);
    final_units(samples);
    pools_and_triggers(samples);
    balances(samples);
    events(samples);
}

fn requests(samples: &mut Samples) {
    let identifiers = [5, 6];
    for &kind in CcRequestType::ALL {
        for &reason in ReportingReason::ALL {
            let used = [
                UsedUnit {
                    units: units(),
                    reporting_reason: Some(reason),
                    tariff_change_usage: Some(TariffChangeUsage::Before),
                },
                UsedUnit {
                    units: Units::octets(u64::MAX),
                    tariff_change_usage: Some(TariffChangeUsage::After),
                    ..UsedUnit::default()
                },
            ];
            let services = [
                ServiceRequest {
                    rating_group: Some(10),
                    service_identifiers: (&identifiers).into(),
                    requested: Some(Units::default()),
                    used: (&used).into(),
                    ..ServiceRequest::default()
                },
                ServiceRequest {
                    rating_group: Some(20),
                    requested: Some(Units::octets(1_000_000)),
                    reporting_reason: Some(reason),
                    ..ServiceRequest::default()
                },
            ];
            let request = CcRequest {
                user_name: Some(IMSI),
                origin_state_id: Some(3),
                event_timestamp: time(),
                subscriber: subscriber(),
                user_equipment: Some(UserEquipment { kind: UserEquipmentType::Imeisv, value: b"3520990017614823" }),
                termination_cause: (kind == CcRequestType::Termination).then_some(TerminationCause::LOGOUT),
                multiple_services: true,
                services: (&services).into(),
                service_information: Some(information(&[])),
                ..CcRequest::new(to_gateway(), CONTEXT, kind, 4)
            };
            samples.request("CCR", CcRequest::header(), |header, out| request.encode(header, out));
        }
    }
}

fn grants(samples: &mut Samples) {
    let identifiers = [5, 6];
    let services = [
        ServiceAnswer {
            result_code: Some(ResultCode::SUCCESS),
            rating_group: Some(10),
            service_identifiers: (&identifiers).into(),
            granted: Some(Grant { units: units(), tariff_time_change: time() }),
            validity_time: Some(3600),
            quota_holding_time: Some(0),
            volume_threshold: Some(200_000),
            time_threshold: Some(10),
            unit_threshold: Some(1),
            ..ServiceAnswer::default()
        },
        ServiceAnswer {
            rating_group: Some(20),
            result_code: Some(ResultCode::CREDIT_LIMIT_REACHED),
            ..ServiceAnswer::default()
        },
    ];
    for kind in [CcRequestType::Initial, CcRequestType::Update, CcRequestType::Termination] {
        let request = CcRequest::new(to_gateway(), CONTEXT, kind, 4);
        let ccr = samples.request("CCR, bare", CcRequest::header(), |header, out| request.encode(header, out));
        let answer = CcAnswer {
            origin_state_id: Some(7),
            services: (&services).into(),
            session_failover: Some(CcSessionFailover::Supported),
            failure_handling: Some(FailureHandling::RetryAndTerminate),
            ..CcAnswer::new(Outcome::SUCCESS, kind, 4)
        };
        samples.answer("CCA, grants in groups", &ccr, |to, origin, out| answer.encode(to, origin, out));
        let single = CcAnswer {
            granted: Some(Grant { units: Units::octets(1), tariff_time_change: time() }),
            validity_time: Some(9),
            ..CcAnswer::new(Outcome::SUCCESS, kind, 4)
        };
        samples.answer("CCA, a grant without groups", &ccr, |to, origin, out| single.encode(to, origin, out));
        for code in [
            ResultCode::USER_UNKNOWN,
            ResultCode::UNKNOWN_SESSION_ID,
            ResultCode::END_USER_SERVICE_DENIED,
            ResultCode::CREDIT_LIMIT_REACHED,
            ResultCode::RATING_FAILED,
            ResultCode::AUTHORIZATION_REJECTED,
        ] {
            let refused = CcAnswer::new(code.into(), kind, 4);
            samples.answer("CCA, refused", &ccr, |to, origin, out| refused.encode(to, origin, out));
        }
    }
}

fn final_units(samples: &mut Samples) {
    let request = CcRequest::new(to_gateway(), CONTEXT, CcRequestType::Update, 5);
    let ccr = samples.request("CCR", CcRequest::header(), |header, out| request.encode(header, out));
    let rules = ["permit in ip from any to 10.0.0.1", "permit out ip from 10.0.0.1 to any"];
    let ids = ["walled-garden"];
    let redirect = |kind, address| {
        let server = RedirectServer { kind, address };
        FinalUnit { redirect: Some(server), ..FinalUnit::new(FinalUnitAction::Redirect) }
    };
    let restrict = FinalUnit {
        filter_rules: (&rules).into(),
        filter_ids: (&ids).into(),
        ..FinalUnit::new(FinalUnitAction::RestrictAccess)
    };
    let all = [
        FinalUnit::new(FinalUnitAction::Terminate),
        redirect(RedirectAddressType::Ipv4, "192.0.2.1"),
        redirect(RedirectAddressType::Ipv6, "2001:db8::1"),
        redirect(RedirectAddressType::Url, "https://my.linegate.example/top-up"),
        redirect(RedirectAddressType::SipUri, "sip:top-up@linegate.example"),
        restrict,
    ];
    for unit in all {
        let services = [ServiceAnswer {
            rating_group: Some(10),
            result_code: Some(ResultCode::SUCCESS),
            granted: Some(Grant { units: Units::octets(1_000), tariff_time_change: None }),
            final_unit: Some(unit),
            ..ServiceAnswer::default()
        }];
        let answer =
            CcAnswer { services: (&services).into(), ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Update, 5) };
        samples.answer("CCA, final unit of a group", &ccr, |to, origin, out| answer.encode(to, origin, out));
        let answer = CcAnswer { final_unit: Some(unit), ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Update, 5) };
        samples.answer("CCA, final unit", &ccr, |to, origin, out| answer.encode(to, origin, out));
    }
}

fn pools_and_triggers(samples: &mut Samples) {
    let pools = CcUnitType::ALL.iter().zip(1..).map(|(&unit_type, identifier)| PoolReference {
        identifier,
        unit_type,
        digits: 15,
        exponent: -1,
    });
    let pools: Vec<PoolReference> = pools.collect();
    let triggers = [1, 2, 3];
    let asked = [ServiceRequest {
        rating_group: Some(10),
        requested: Some(Units::octets(1)),
        pools: (&pools).into(),
        trigger: Some((&triggers).into()),
        refund_information: Some(b"order-7"),
        ..ServiceRequest::default()
    }];
    let request = CcRequest {
        sub_session_id: Some(3),
        correlation_id: Some(b"call-1"),
        services: (&asked).into(),
        ..CcRequest::new(to_gateway(), CONTEXT, CcRequestType::Update, 6)
    };
    let ccr = samples.request("CCR, pools", CcRequest::header(), |header, out| request.encode(header, out));
    for usage in TariffChangeUsage::ALL {
        let services = [ServiceAnswer {
            rating_group: Some(10),
            result_code: Some(ResultCode::SUCCESS),
            granted: Some(Grant { units: Units::octets(1_000), tariff_time_change: time() }),
            tariff_change_usage: Some(*usage),
            pools: (&pools).into(),
            trigger: Some((&triggers).into()),
            quota_consumption_time: Some(30),
            refund_information: Some(b"order-7"),
            ..ServiceAnswer::default()
        }];
        let answer =
            CcAnswer { services: (&services).into(), ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Update, 6) };
        samples.answer("CCA, pools", &ccr, |to, origin, out| answer.encode(to, origin, out));
    }
}

fn balances(samples: &mut Samples) {
    let request = CcRequest::new(to_gateway(), CONTEXT, CcRequestType::Event, 0);
    let ccr = samples.request("CCR", CcRequest::header(), |header, out| request.encode(header, out));
    for handling in [DebitingFailureHandling::TerminateOrBuffer, DebitingFailureHandling::Continue] {
        let answer = CcAnswer {
            cost: Some(WON),
            cost_unit: Some("MB"),
            remaining_balance: Some(WON),
            low_balance: Some(handling == DebitingFailureHandling::Continue),
            debiting_failure_handling: Some(handling),
            ..CcAnswer::new(Outcome::SUCCESS, CcRequestType::Event, 0)
        };
        samples.answer("CCA, balances", &ccr, |to, origin, out| answer.encode(to, origin, out));
    }
    let missing = [AvpError::missing(&dict::REQUESTED_ACTION), AvpError::missing(&dict::RATING_GROUP)];
    let failed: Vec<FailedAvp<'_>> = missing.iter().map(FailedAvp::from).collect();
    let answer = CcAnswer {
        failed_avps: (&failed).into(),
        ..CcAnswer::new(ResultCode::MISSING_AVP.into(), CcRequestType::Event, 0)
    };
    samples.answer("CCA, failed AVPs", &ccr, |to, origin, out| answer.encode(to, origin, out));
}

fn events(samples: &mut Samples) {
    for &action in RequestedAction::ALL {
        let used = [UsedUnit { units: Units { time: Some(1), ..Units::default() }, ..UsedUnit::default() }];
        let request = CcRequest {
            subscriber: subscriber(),
            requested_action: Some(action),
            service_identifier: Some(8),
            requested: Some(Units { service_specific: Some(1), ..Units::default() }),
            used: (&used).into(),
            service_information: Some(information(&[])),
            ..CcRequest::new(to_gateway(), "32274@3gpp.org", CcRequestType::Event, 0)
        };
        let ccr = samples.request("CCR, event", CcRequest::header(), |header, out| request.encode(header, out));
        let done = CcAnswer::new(Outcome::SUCCESS, CcRequestType::Event, 0);
        let answer = match action {
            RequestedAction::DirectDebiting | RequestedAction::RefundAccount => {
                CcAnswer { granted: Some(Grant { units: units(), tariff_time_change: None }), cost: Some(WON), ..done }
            }
            RequestedAction::CheckBalance => CcAnswer { check_balance: Some(CheckBalanceResult::EnoughCredit), ..done },
            RequestedAction::PriceEnquiry => CcAnswer { cost: Some(WON), ..done },
        };
        samples.answer("CCA, event", &ccr, |to, origin, out| answer.encode(to, origin, out));
    }
}

/// Accounting.
pub fn rf(samples: &mut Samples) {
    let traffic = [
        TrafficVolume {
            input_octets: Some(1),
            output_octets: Some(u64::MAX),
            qci: Some(9),
            change_condition: Some(0),
            change_time: time(),
        },
        TrafficVolume { input_octets: Some(5), ..TrafficVolume::default() },
    ];
    for &kind in RecordType::ALL {
        let request = AccountingRequest {
            user_name: Some(IMSI),
            interim_interval: Some(300),
            origin_state_id: Some(1),
            event_timestamp: time(),
            service_context_id: Some(CONTEXT),
            service_information: Some(information(&traffic)),
            ..AccountingRequest::new(to_gateway(), kind, 7)
        };
        let acr = samples.request("ACR", AccountingRequest::header(), |header, out| request.encode(header, out));
        for code in [ResultCode::SUCCESS, ResultCode::USER_UNKNOWN, ResultCode::OUT_OF_SPACE] {
            let answer = AccountingAnswer {
                outcome: code.into(),
                record_type: kind,
                record_number: 7,
                interim_interval: Some(600),
                origin_state_id: Some(7),
            };
            samples.answer("ACA", &acr, |to, origin, out| answer.encode(to, origin, out));
        }
    }
}
