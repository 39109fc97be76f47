//! What a program that the daemon starts can see of the daemon itself: it runs as the same user.

use kheish_host_tests::{
    child::{Child, PATH},
    host::Host,
};
use serde_json::json;

#[tokio::test]
async fn a_child_sees_neither_environment_nor_memory_nor_files_of_the_daemon() {
    let host = Host::builder()
        .plugins(&[])
        .settings("[sidecars.child]\nrestart_ms = 20\nmax_restart_ms = 60\n")
        .env("KHEISH_AUTH_STORE_MASTER_KEY", "bWFzdGVyLWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHM=")
        .token("an-admin-token-of-32-characters!")
        .unprivileged()
        .start()
        .await;
    let daemon = host.process_id();
    let script = format!(
        "look() {{ (exec 3<\"$1\") 2>/dev/null && echo \"$2 is open\" || echo \"$2 is closed\"; }}\n\
         for file in environ mem maps fd/1; do look /proc/{daemon}/$file \"the daemon's $file\"; done\n\
         look /proc/$PPID/environ \"the guard's environ\"\n\
         exec sleep 600"
    );
    let fields = Child::new().fields("", &json!({ "command": "sh", "args": ["-c", script] }));
    host.put(PATH, &fields).await.expect(201);
    // Otherwise nothing would be said of the daemon.
    host.logs("the guard's environ is open").await;
    for file in ["environ", "mem", "maps", "fd/1"] {
        assert!(host.log().contains(&format!("the daemon's {file} is closed")), "{file}: {}", host.log());
    }
}
