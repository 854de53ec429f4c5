//! Claims about listeners.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use ottla_types::BrokerId;
use ottla_types::config::Settings;
use ottla_types::config::listeners::{Audience, SecurityProtocol, split_host_port};

fn settings(text: &str) -> Settings {
    Settings::parse("f", text).unwrap().0
}

fn problem(text: &str) -> String {
    Settings::parse("f", text).unwrap_err().to_string()
}

#[test]
fn a_combined_node_has_a_listener_for_clients_and_one_for_controllers() {
    let listeners = settings(
        "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n\
         advertised.listeners=PLAINTEXT://broker.example:19092\n\
         controller.listener.names=CONTROLLER",
    )
    .listeners()
    .unwrap();
    let [clients, controllers] = &listeners.all[..] else { panic!("{listeners:?}") };
    assert_eq!(clients.bind.to_string(), "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(clients.advertised.as_ref().unwrap().to_string(), "PLAINTEXT://broker.example:19092");
    assert_eq!(clients.audience, Audience::Clients);
    assert_eq!(controllers.audience, Audience::Controllers);
    assert_eq!(controllers.protocol, SecurityProtocol::Plaintext, "where the map is not set");
    assert_eq!(listeners.inter_broker, "PLAINTEXT");
    assert_eq!(listeners.for_clients().count(), 1);
}

#[test]
fn a_listener_can_have_a_name_of_its_own_if_the_map_knows_it() {
    let listeners = settings(
        "listeners=internal://:9094,EXTERNAL://:9092\n\
         listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:plaintext\n\
         inter.broker.listener.name=INTERNAL",
    )
    .listeners()
    .unwrap();
    assert_eq!(listeners.inter_broker, "INTERNAL");
    assert_eq!(listeners.all[0].name, "INTERNAL");
    assert_eq!(listeners.all[0].bind.host, "");
}

#[test]
fn a_name_that_the_map_does_not_know_is_refused() {
    assert!(problem("listeners=MINE://:9092").contains("no security protocol is defined for listener MINE"));
}

#[test]
fn a_listener_that_asks_for_protection_is_refused_rather_than_opened_without() {
    for listener in ["SSL://:9093", "SASL_PLAINTEXT://:9093", "SASL_SSL://:9093"] {
        let message = problem(&format!("listeners=PLAINTEXT://:9092,{listener}"));
        assert!(message.contains("only PLAINTEXT is available"), "{message}");
    }
}

#[test]
fn malformed_and_contradictory_listeners_are_refused() {
    for (text, why) in [
        ("listeners=localhost:9092", "is not a listener: expected NAME://host:port"),
        ("listeners=PLAINTEXT://localhost", "is not a listener"),
        ("listeners=PLAINTEXT://localhost:99999", "is not a listener"),
        ("listeners=", "listeners is empty"),
        ("listeners=PLAINTEXT://a:1,PLAINTEXT://b:2", "two listeners are called PLAINTEXT"),
        (
            "listeners=PLAINTEXT://a:1\nadvertised.listeners=OTHER://a:1",
            "names OTHER, and listeners does not",
        ),
        ("listeners=PLAINTEXT://0.0.0.0:1", "set advertised.listeners"),
        ("listeners=PLAINTEXT://:1\nadvertised.listeners=PLAINTEXT://0.0.0.0:1", "clients cannot connect"),
        ("inter.broker.listener.name=NONE", "not one of the listeners"),
        ("controller.listener.names=PLAINTEXT", "none of the listeners is for clients"),
    ] {
        let message = problem(text);
        assert!(message.contains(why), "{text}: {message}");
    }
}

#[test]
fn a_controller_alone_may_be_told_how_brokers_call_the_listener_among_themselves() {
    let controller =
        "process.roles=controller\nlisteners=CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n";
    let inter_broker =
        |more: &str| settings(&format!("{controller}{more}")).listeners().unwrap().inter_broker;
    assert_eq!(inter_broker("inter.broker.listener.name=internal\n"), "INTERNAL");
    assert_eq!(inter_broker(""), "PLAINTEXT");
}

#[test]
fn one_name_may_listen_by_ipv4_and_by_ipv6() {
    let listeners =
        settings("listeners=PLAINTEXT://127.0.0.1:9092,PLAINTEXT://[::1]:9092").listeners().unwrap();
    assert_eq!(listeners.all[1].bind.host, "::1");
    assert_eq!(listeners.all[1].bind.to_string(), "PLAINTEXT://[::1]:9092");
}

#[test]
fn voters_are_taken_apart() {
    let voters = settings("controller.quorum.voters=1@a:9093, 2@[::1]:9094").quorum_voters();
    assert_eq!((voters[0].id, voters[0].host.as_str(), voters[0].port), (BrokerId(1), "a", 9093));
    assert_eq!((voters[1].id, voters[1].host.as_str(), voters[1].port), (BrokerId(2), "::1", 9094));
    assert!(problem("controller.quorum.voters=1@a").contains("id@host:port"));
    assert!(problem("controller.quorum.voters=a:9093").contains("id@host:port"));
    assert!(problem("controller.quorum.bootstrap.servers=:9093").contains("host:port"));
}

#[test]
fn a_mistake_in_the_list_of_voters_names_its_entry() {
    for (list, says) in [
        ("1@a:1,2", "\"2\" in controller.quorum.voters has no @"),
        ("1@a:1,x@b:2", "\"x@b:2\" in controller.quorum.voters has no number"),
        ("1@a:1,-2@b:2", "\"-2@b:2\" in controller.quorum.voters has a negative"),
        ("1@a:1,2@:2", "\"2@:2\" in controller.quorum.voters names no host"),
        ("1@a:1,2@b:0", "\"2@b:0\" in controller.quorum.voters has port 0"),
        ("1@a:1,1@b:2", "lists node 1 twice, the second time as \"1@b:2\""),
        ("1@a:1,2@A:1", "lists the address of \"2@A:1\" twice"),
    ] {
        let message = problem(&format!("controller.quorum.voters={list}"));
        assert!(message.contains(says), "{list}: {message}");
    }
}

#[test]
fn a_nodes_own_entry_has_the_port_of_its_controllers_listener() {
    let with = |listeners: &str| {
        format!(
            "node.id=1\ncontroller.quorum.voters=1@a:9093,2@b:9094\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n{listeners}"
        )
    };
    settings(&with("listeners=PLAINTEXT://:9092,CONTROLLER://:9093"));
    // Where ports are mapped, what others are told counts.
    settings(&with(
        "listeners=PLAINTEXT://:9092,CONTROLLER://:1\nadvertised.listeners=PLAINTEXT://a:9092,CONTROLLER://a:9093",
    ));
    for port in [9094, 0] {
        let message = problem(&with(&format!("listeners=PLAINTEXT://:9092,CONTROLLER://:{port}")));
        for says in ["this node, 1, is at a:9093", &format!("CONTROLLER://:{port}"), "advertised.listeners"] {
            assert!(message.contains(says), "{message}");
        }
    }
}

#[test]
fn hosts_and_ports_are_split_at_the_last_colon() {
    assert_eq!(split_host_port("h:1"), Some(("h".to_owned(), 1)));
    assert_eq!(split_host_port(":1"), Some((String::new(), 1)));
    assert_eq!(split_host_port("[::1]:1"), Some(("::1".to_owned(), 1)));
    for wrong in ["h", "h:", "h:x", "h:-1", "::1:1", "[::1:1", "a b:1", "h:1/x", "http://h:1"] {
        assert_eq!(split_host_port(wrong), None, "{wrong}");
    }
}
