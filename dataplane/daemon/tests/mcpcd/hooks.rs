//! `mcpcd healthcheck` and `mcpcd prestop`: beside a gateway, and where there is none.

use super::*;

/// What a hook says about the gateway at an address, and its exit code.
fn hook(folder: &Folder, admin: SocketAddr, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = folder.mcpcd(arguments);
    // A container sets variables for the gateway, and its hooks see them.
    command.env("MCPC_ADMIN", admin.to_string());
    command.env("MCPCD_PLAN", "plan.json");
    refused(&command.output().unwrap())
}

#[test]
fn clients_are_sent_elsewhere_and_still_served_before_a_gateway_stops() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = folder.start();
    let admin = daemon.admin;
    assert_eq!(
        hook(&folder, admin, &["healthcheck"]),
        (Some(0), String::new())
    );

    let prestop = ["prestop", "--wait", "1s"];
    assert_eq!(hook(&folder, admin, &prestop), (Some(0), String::new()));
    let (exit, said) = hook(&folder, admin, &["healthcheck"]);
    assert!(exit == Some(1) && said.contains("503"), "{said}");
    for probe in ["live", "started"] {
        let arguments = ["healthcheck", "--probe", probe];
        assert_eq!(hook(&folder, admin, &arguments).0, Some(0), "{probe}");
    }
    assert_eq!(daemon.status()["phase"], "leaving");
    assert_ne!(status_of(&daemon, "/one"), 404);

    // Another plan goes live as ever, and does not call clients back.
    folder.replace(&plan("/two").to_bytes().unwrap());
    daemon.hears("the new plan is live");
    assert_ne!(status_of(&daemon, "/two"), 404);
    assert_eq!(hook(&folder, admin, &["healthcheck"]).0, Some(1));
    daemon.stop();

    for arguments in [&["healthcheck"][..], &prestop] {
        let (exit, said) = hook(&folder, admin, arguments);
        assert!(exit == Some(1) && said.contains("no gateway"), "{said}");
    }
}

#[test]
fn hooks_ask_the_gateway_of_this_machine_when_its_address_is_any() {
    let folder = Folder::with(&plan("/one"));
    let daemon = folder.start();
    let any = SocketAddr::new("0.0.0.0".parse().unwrap(), daemon.admin.port());
    assert_eq!(hook(&folder, any, &["healthcheck"]).0, Some(0));
    let wrong = ["healthcheck", "--timeout", "5"];
    assert_eq!(hook(&folder, any, &wrong).0, Some(2));
    daemon.stop();
}
