//! The `diameter` crate.

use std::io::Cursor;
use std::sync::Arc;

use diameter::avp::{Avp, AvpType, Enumerated, Grouped, Identity, UTF8String, Unsigned32, Unsigned64};
use diameter::dictionary::{AvpDefinition, DEFAULT_DICT_XML, Dictionary};
use diameter::{ApplicationId, CommandCode, DiameterMessage};
use linegate_diameter::dictionary::{self as dict, AvpDef};

use super::Seen;

const M: u8 = 0x40;
const PROXIABLE: u8 = 0x40;
const TGPP: Option<u32> = Some(10_415);

/// Its own dictionary with the AVPs that the messages need and it lacks.
pub fn dictionary() -> Arc<Dictionary> {
    let mut dictionary = Dictionary::new(&[&DEFAULT_DICT_XML]);
    let missing: [(&AvpDef, AvpType); 6] = [
        (&dict::REPORTING_REASON, AvpType::Enumerated),
        (&dict::VOLUME_QUOTA_THRESHOLD, AvpType::Unsigned32),
        (&dict::QUOTA_HOLDING_TIME, AvpType::Unsigned32),
        (&dict::TGPP_CHARGING_ID, AvpType::OctetString),
        (&dict::TGPP_SGSN_MCC_MNC, AvpType::UTF8String),
        (&dict::TGPP_RAT_TYPE, AvpType::OctetString),
    ];
    for (def, avp_type) in missing {
        let (code, vendor_id) = (def.code, Some(def.vendor));
        if dictionary.get_avp(code, vendor_id).is_none() {
            dictionary.add_avp(AvpDefinition { code, vendor_id, name: def.name.into(), avp_type, m_flag: true });
        }
    }
    Arc::new(dictionary)
}

/// Octets to the same values; there is no check of the grammar.
#[inline(never)]
pub fn read(frame: &[u8], dictionary: &Arc<Dictionary>) -> Seen {
    let message = DiameterMessage::decode_from(&mut Cursor::new(frame), Arc::clone(dictionary)).unwrap();
    let mut seen = Seen::default();
    for avp in message.get_avps() {
        match avp.get_code() {
            263 | 461 => seen.text_octets += text(avp),
            264 | 296 | 283 => seen.text_octets += avp.get_identity().unwrap().value().len(),
            416 => seen.header_numbers += avp.get_enumerated().unwrap().value() as u64,
            415 => seen.header_numbers += u64::from(avp.get_unsigned32().unwrap()),
            55 => seen.header_numbers += avp.get_time().unwrap().value().timestamp() as u64,
            443 => seen.text_octets += member(avp, 444).map_or(0, text),
            456 => service(avp, &mut seen),
            458 => seen.text_octets += member(avp, 460).and_then(Avp::get_octetstring).unwrap().value().len(),
            873 => member(avp, 874).unwrap().get_grouped().unwrap().avps().iter().for_each(|avp| {
                seen.text_octets += match avp.get_code() {
                    18 | 30 => text(avp),
                    2 | 21 => avp.get_octetstring().unwrap().value().len(),
                    _ => 0,
                };
            }),
            _ => {}
        }
    }
    seen
}

fn service(service: &Avp, seen: &mut Seen) {
    for avp in service.get_grouped().unwrap().avps() {
        match avp.get_code() {
            432 => seen.unit_numbers += u64::from(avp.get_unsigned32().unwrap()),
            872 => seen.unit_numbers += avp.get_enumerated().unwrap().value() as u64,
            437 => {
                seen.requested += 1;
                seen.unit_numbers += octets(avp);
            }
            446 => seen.unit_numbers += octets(avp),
            _ => {}
        }
    }
}

fn octets(units: &Avp) -> u64 {
    let of_members = units.get_grouped().unwrap().avps().iter();
    of_members.filter(|avp| matches!(avp.get_code(), 412 | 414 | 421)).map(|avp| avp.get_unsigned64().unwrap()).sum()
}

fn text(avp: &Avp) -> usize {
    avp.get_utf8string().unwrap().value().len()
}

fn member(group: &Avp, code: u32) -> Option<&Avp> {
    group.get_grouped()?.avps().iter().find(|avp| avp.get_code() == code)
}

/// Builds and appends the same CCA.
#[inline(never)]
pub fn write(session_id: &str, dictionary: &Arc<Dictionary>, out: &mut Vec<u8>) {
    let (code, application) = (CommandCode::CreditControl, ApplicationId::CreditControl);
    let mut answer =
        DiameterMessage::new(code, application, PROXIABLE, 0x1234_5678, 0x9abc_def0, Arc::clone(dictionary));
    answer.add_avp(263, None, M, UTF8String::new(session_id).into());
    answer.add_avp(268, None, M, Unsigned32::new(2001).into());
    answer.add_avp(264, None, M, Identity::new("gateway.linegate.example").into());
    answer.add_avp(296, None, M, Identity::new("linegate.example").into());
    answer.add_avp(258, None, M, Unsigned32::new(4).into());
    answer.add_avp(416, None, M, Enumerated::new(2).into());
    answer.add_avp(415, None, M, Unsigned32::new(7).into());
    for (rating_group, granted) in [(10, 10_000_000), (20, 1_000_000)] {
        let mut units = Grouped::new(vec![], Arc::clone(dictionary));
        units.add_avp(421, None, M, Unsigned64::new(granted).into());
        let mut service = Grouped::new(vec![], Arc::clone(dictionary));
        service.add_avp(431, None, M, units.into());
        service.add_avp(432, None, M, Unsigned32::new(rating_group).into());
        service.add_avp(448, None, M, Unsigned32::new(3600).into());
        service.add_avp(268, None, M, Unsigned32::new(2001).into());
        service.add_avp(869, TGPP, M, Unsigned32::new(200_000).into());
        service.add_avp(871, TGPP, M, Unsigned32::new(600).into());
        answer.add_avp(456, None, M, service.into());
    }
    answer.encode_to(out).unwrap();
}
