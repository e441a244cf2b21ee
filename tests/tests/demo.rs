//! The story that `cargo xtask demo` tells, and that all of it is so.

use murmuration_tests::demo;

#[test]
fn everything_holds_that_the_demo_tells() {
    let claims = demo::run();
    let broken: Vec<_> = claims.iter().filter(|claim| !claim.holds).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    // Each scene has been played, and what matters in it was looked at.
    for told in [
        "Robin's two DIDs name each other, by documents that were verified",
        "Jay reads what Robin has sealed",
        "the task went from submitted over working to completed",
        "what was sealed to the old key stays readable",
        "a message to a dead host is kept",
        "it comes once, behind what came before",
        "Wren opens with these keys what was sealed to Jay alone",
        "a broadcast reaches agents of both hosts",
        "Robin recalls by meaning what it remembers in other words",
        "Jay reads the memory that Robin has shared, and Wren does not",
        "after the share is revoked it is to Jay as if it had never been",
        "what Robin publishes is a public record at the same address",
        "Jay finds by meaning what Robin has published on the other host",
        "nothing private lies open in a file or in the log of the far host",
    ] {
        assert!(claims.iter().any(|claim| claim.text == told), "{told}");
    }
}
