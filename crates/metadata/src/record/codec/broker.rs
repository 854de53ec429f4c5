//! The bytes of records about brokers.

use ottla_types::{BrokerEpoch, BrokerId};

use super::fields::{Reader, Writer};
use super::{BROKER_CHANGE, DecodeError, REGISTER_BROKER};
use crate::record::{
    BrokerChange, Endpoint, IncarnationId, LastRun, RegisterBroker, SecurityProtocol, SupportedFeature,
};

const UNKNOWN: u8 = 0;
const CLEAN: u8 = 1;
const PROCESS_CRASH: u8 = 2;
const UNCLEAN: u8 = 3;

/// v0: id i32, epoch i64, incarnation id, endpoints list<listener string, host string, port u16, protocol i16>,
/// rack option<string>, directories list<id>
///
/// v1: v0, features list<name string, min level i16, max level i16>, last run u8 (0 unknown, 1 clean, 2 process crash,
/// 3 unclean), followed by its epoch i64 for 1 and 2
pub(super) fn encode_register_broker(r: &RegisterBroker, w: &mut Writer<'_>) {
    let version = u8::from(!r.features.is_empty() || r.last_run != LastRun::Unknown);
    w.head(REGISTER_BROKER, version);
    w.i32(r.id.0);
    w.i64(r.epoch.0);
    w.id(&r.incarnation.0);
    w.count(r.endpoints.len());
    for endpoint in &r.endpoints {
        w.string(&endpoint.listener);
        w.string(&endpoint.host);
        w.u16(endpoint.port);
        w.i16(endpoint.security_protocol as i16);
    }
    w.option(r.rack.as_deref(), Writer::string);
    w.directories(&r.directories);
    if version == 0 {
        return;
    }
    w.count(r.features.len());
    for feature in &r.features {
        w.string(&feature.name);
        w.i16(feature.min_level);
        w.i16(feature.max_level);
    }
    match r.last_run {
        LastRun::Unknown => w.u8(UNKNOWN),
        LastRun::Clean(epoch) => {
            w.u8(CLEAN);
            w.i64(epoch.0);
        }
        LastRun::ProcessCrash(epoch) => {
            w.u8(PROCESS_CRASH);
            w.i64(epoch.0);
        }
        LastRun::Unclean => w.u8(UNCLEAN),
    }
}

pub(super) fn decode_register_broker(r: &mut Reader<'_>) -> Result<RegisterBroker, DecodeError> {
    let mut registration = RegisterBroker {
        id: BrokerId(r.i32("id")?),
        epoch: BrokerEpoch(r.i64("epoch")?),
        incarnation: IncarnationId(r.id("incarnation")?),
        endpoints: r.list("endpoints", 8, |r| {
            Ok(Endpoint {
                listener: r.string("endpoints.listener")?.into(),
                host: r.string("endpoints.host")?.into(),
                port: u16::from_be_bytes(r.array("endpoints.port")?),
                security_protocol: match r.i16("endpoints.security_protocol")? {
                    0 => SecurityProtocol::Plaintext,
                    1 => SecurityProtocol::Ssl,
                    2 => SecurityProtocol::SaslPlaintext,
                    3 => SecurityProtocol::SaslSsl,
                    _ => return Err(r.invalid("endpoints.security_protocol")),
                },
            })
        })?,
        rack: r.option("rack", |r| Ok(r.string("rack")?.into()))?,
        directories: r.directories("directories")?,
        features: Vec::new(),
        last_run: LastRun::Unknown,
    };
    if r.version >= 1 {
        registration.features = r.list("features", 6, |r| {
            Ok(SupportedFeature {
                name: r.string("features.name")?.into(),
                min_level: r.i16("features.min_level")?,
                max_level: r.i16("features.max_level")?,
            })
        })?;
        registration.last_run = decode_last_run(r)?;
    }
    Ok(registration)
}

fn decode_last_run(r: &mut Reader<'_>) -> Result<LastRun, DecodeError> {
    Ok(match r.u8("last_run")? {
        UNKNOWN => LastRun::Unknown,
        CLEAN => LastRun::Clean(BrokerEpoch(r.i64("last_run")?)),
        PROCESS_CRASH => LastRun::ProcessCrash(BrokerEpoch(r.i64("last_run")?)),
        UNCLEAN => LastRun::Unclean,
        _ => return Err(r.invalid("last_run")),
    })
}

/// v0: id i32, epoch i64, in controlled shutdown bool, directories option<list<id>>
pub(super) fn encode_broker_change(r: &BrokerChange, w: &mut Writer<'_>) {
    w.head(BROKER_CHANGE, 0);
    w.i32(r.id.0);
    w.i64(r.epoch.0);
    w.bool(r.in_controlled_shutdown);
    w.option(r.directories.as_deref(), Writer::directories);
}

pub(super) fn decode_broker_change(r: &mut Reader<'_>) -> Result<BrokerChange, DecodeError> {
    Ok(BrokerChange {
        id: r.broker("id")?,
        epoch: BrokerEpoch(r.i64("epoch")?),
        in_controlled_shutdown: r.bool("in_controlled_shutdown")?,
        directories: r.option("directories", |r| r.directories("directories"))?,
    })
}
