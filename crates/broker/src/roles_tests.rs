//! Claims about what settings make of a node.

use super::*;

const BOTH: &str = "listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
const BROKER: &str =
    "process.roles=broker\nnode.id=4\nlisteners=PLAINTEXT://:9092\ncontroller.listener.names=CONTROLLER\n";
const CONTROLLER: &str =
    "process.roles=controller\nlisteners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
const THREE: &str = "controller.quorum.voters=1@a:9093,2@b:9093,3@c:9093\n";

fn role(parts: &[&str]) -> Result<Role, RoleError> {
    Role::of(&Settings::parse("f", &parts.concat()).unwrap().0, "here.example")
}

#[test]
fn a_node_is_what_its_settings_say() {
    let voter = |is_broker| Role::Voter { is_broker };
    for (parts, expected) in [
        (&[""][..], Role::Alone),
        (&["listeners=PLAINTEXT://:9092\n", "process.roles=broker,controller\n"], Role::Alone),
        (&[BOTH, "node.id=1\n", "controller.quorum.voters=1@localhost:9093\n"], Role::Alone),
        (&[BOTH, "node.id=2\n", THREE], voter(true)),
        (&[BOTH, "node.id=2\n", THREE, "controller.quorum.bootstrap.servers=a:9093,b:9093\n"], voter(true)),
        (&[CONTROLLER, "node.id=2\n", THREE], voter(false)),
        (&[CONTROLLER, "node.id=1\n", "controller.quorum.voters=1@localhost:9093\n"], voter(false)),
        (&[BROKER, THREE], Role::Observer),
        (&[BROKER, "controller.quorum.bootstrap.servers=a:9093\n"], Role::Observer),
        (&[BROKER, "controller.quorum.voters=1@a:9093\n"], Role::Observer),
    ] {
        assert_eq!(role(parts), Ok(expected), "{parts:?}");
    }
    assert!(Role::Alone.is_broker() && Role::Observer.is_broker() && voter(true).is_broker());
    assert!(!voter(false).is_broker());
}

#[test]
fn what_kafka_refuses_is_refused_with_what_to_do() {
    for (parts, says) in [
        (
            &["process.roles=broker\n", "controller.listener.names=CONTROLLER\n"][..],
            "where the metadata quorum is",
        ),
        (&[CONTROLLER], "where the metadata quorum is"),
        (&[BROKER, "controller.quorum.voters=4@a:9093\n"], "lists node 4, which is this one"),
        (&["process.roles=broker\nnode.id=4\n", THREE], "controller.listener.names is empty"),
        (&[BROKER, THREE, BOTH], "take it out of listeners"),
        (
            &[BROKER, THREE, "listener.security.protocol.map=PLAINTEXT:PLAINTEXT\n"],
            "add CONTROLLER:PLAINTEXT",
        ),
        (&[BOTH, "node.id=4\n", THREE], "lists 1, 2, 3 and not node 4"),
        (&[BOTH, "node.id=1\n", "controller.quorum.voters=2@b:9093\n"], "lists 2 and not node 1"),
        (&[CONTROLLER, "node.id=4\n", THREE], "lists 1, 2, 3 and not node 4"),
        (&[CONTROLLER, "node.id=1\n", THREE, BOTH], "listeners has PLAINTEXT"),
        (&["node.id=1\n", THREE], "no listener for the other nodes"),
        (
            &["controller.listener.names=CONTROLLER\n", "node.id=1\n", THREE],
            "names CONTROLLER, and listeners does not",
        ),
    ] {
        let error = role(parts).unwrap_err().to_string();
        assert!(error.contains(says), "{parts:?}: {error}");
    }
}

#[test]
fn a_node_that_names_only_itself_is_its_own_quorum_and_one_that_names_others_founds_none() {
    let of = |server: &str| role(&[BOTH, "controller.quorum.bootstrap.servers=", server, "\n"]);
    for me in ["localhost:9093", "127.0.0.1:9093", "[::1]:9093", "here.example:9093"] {
        assert_eq!(of(me), Ok(Role::Alone), "{me}");
    }
    for other in ["localhost:9094", "there.example:9093", "localhost:9093,there.example:9093"] {
        let error = of(other).unwrap_err();
        assert!(matches!(error, RoleError::JoinsByServers(_)), "{other}: {error}");
    }
    let advertised = "advertised.listeners=PLAINTEXT://me:9092,CONTROLLER://me:19093\n";
    let told = role(&[BOTH, advertised, "controller.quorum.bootstrap.servers=me:19093\n"]);
    assert_eq!(told, Ok(Role::Alone), "where others are told that it is");
}
