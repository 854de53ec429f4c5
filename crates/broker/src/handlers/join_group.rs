//! JoinGroup: makes a client a member of a group (KIP-62, KIP-345, KIP-394, KIP-559, KIP-814).

use std::net::{IpAddr, SocketAddr};

use ottla_groups::request::{Join, Protocol};
use ottla_groups::{Generation, Request};
use ottla_types::ErrorCode;
use ottla_wire::Str;
use ottla_wire::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

use super::group::{reply_of, respond};
use crate::broker::Core;
use crate::context::{Answer, RequestContext};
use crate::coordinator::Reply;

/// The first version that tells the time for a rebalance from that of a session.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;

/// The first version in which a new member is told its id before it joins (KIP-394).
const KNOWN_MEMBER_ID_SINCE: i16 = 4;

/// The first version whose answer can leave the protocol's name out.
const NULL_PROTOCOL_SINCE: i16 = 7;

/// The first version in which a leader can be told not to assign anything (KIP-814).
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(crate) async fn handle(core: &Core, context: &RequestContext, request: JoinGroupRequest) -> Answer {
    let version = context.version;
    let join = join(context, &core.env.rng.id_bytes(), request);
    let group_id = join.group_id.clone();
    let asked = core.groups.ask(&core.metadata.image(), &group_id, Request::Join(join)).await;
    respond(asked, move |reply| response(version, reply))
}

fn join(context: &RequestContext, random: &[u8; 16], request: JoinGroupRequest) -> Join {
    let client_id = context.client_id.as_deref().unwrap_or_default();
    let named = request.group_instance_id.as_deref().unwrap_or(client_id);
    let has_rebalance_timeout = context.version >= REBALANCE_TIMEOUT_SINCE;
    Join {
        new_member_id: format!("{named}-{}", uuid(random)),
        client_id: client_id.to_owned(),
        client_host: client_host(context.peer.address),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if has_rebalance_timeout {
            request.rebalance_timeout_ms
        } else {
            request.session_timeout_ms
        },
        protocols: request
            .protocols
            .into_iter()
            .map(|protocol| Protocol { name: protocol.name.into(), metadata: protocol.metadata })
            .collect(),
        requires_known_member_id: context.version >= KNOWN_MEMBER_ID_SINCE,
        supports_skipping_assignment: context.version >= SKIP_ASSIGNMENT_SINCE,
        group_id: request.group_id.into(),
        member_id: request.member_id.into(),
        instance_id: request.group_instance_id.map(String::from),
        protocol_type: request.protocol_type.into(),
    }
}

/// A random UUID (RFC 9562, version 4), as Java prints it.
fn uuid(random: &[u8; 16]) -> String {
    let mut number = u128::from_be_bytes(*random);
    number = number & !(0xf << 76) | 0x4 << 76;
    number = number & !(0x3 << 62) | 0x2 << 62;
    let part = |shift: u32, bits: u32| (number >> shift) & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}

/// The client's address as Kafka tells it in DescribeGroups: Java's `InetAddress.toString`, without a name.
fn client_host(address: SocketAddr) -> String {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => format!("/{ip}"),
        IpAddr::V6(ip) => {
            let groups: Vec<_> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
            format!("/{}", groups.join(":"))
        }
    }
}

fn response(version: i16, reply: Reply) -> JoinGroupResponse {
    let joined = match reply_of!(Join, reply) {
        Ok(joined) => joined,
        Err(error) => return failed(version, error),
    };
    let member = |member: ottla_groups::answer::JoinedMember| JoinGroupResponseMember {
        member_id: member.member_id.into(),
        group_instance_id: member.instance_id.map(Str::from),
        metadata: member.metadata,
        ..JoinGroupResponseMember::default()
    };
    JoinGroupResponse {
        error_code: joined.error.code(),
        generation_id: joined.generation.0,
        protocol_type: joined.protocol_type.map(Str::from),
        protocol_name: protocol_name(version, joined.protocol_name),
        leader: joined.leader.into(),
        // Whoever is too old to be told is never told to.
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.into(),
        members: joined.members.into_iter().map(member).collect(),
        ..JoinGroupResponse::default()
    }
}

fn failed(version: i16, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        generation_id: Generation::NONE.0,
        protocol_name: protocol_name(version, None),
        ..JoinGroupResponse::default()
    }
}

fn protocol_name(version: i16, name: Option<String>) -> Option<Str> {
    match name {
        None if version < NULL_PROTOCOL_SINCE => Some(Str::default()),
        name => name.map(Str::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_as_by_java() {
        let told = |address: &str| client_host(address.parse().unwrap());
        assert_eq!(told("127.0.0.1:9"), "/127.0.0.1");
        assert_eq!(told("[::ffff:10.0.0.7]:9"), "/10.0.0.7");
        assert_eq!(told("[::1]:9"), "/0:0:0:0:0:0:0:1");
        assert_eq!(told("[2001:db8::a0]:9"), "/2001:db8:0:0:0:0:0:a0");
    }

    #[test]
    fn ids_are_random_uuids() {
        assert_eq!(uuid(&[0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(&[0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let counted = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(uuid(&counted), "00010203-0405-4607-8809-0a0b0c0d0e0f");
    }

    #[test]
    fn old_members_are_told_an_empty_protocol_where_new_ones_are_told_none() {
        let name = |version| failed(version, ErrorCode::UnknownMemberId).protocol_name;
        assert_eq!(name(6), Some(Str::default()));
        assert_eq!(name(7), None);
    }
}
