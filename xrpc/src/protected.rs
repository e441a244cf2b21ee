//! Methods that need more than a token for the account: no service token is made for them, or only for some sessions.
//!
//! Names are compared without regard to case: whoever receives a token may do so, too.

/// Whether a method manages the account itself, so that it is called here and directly: no service token names it, and it
/// is proxied nowhere (reference server).
#[must_use]
pub fn is_protected(lxm: &str) -> bool {
    PROTECTED.iter().any(|method| method.eq_ignore_ascii_case(lxm))
}

/// Whether a method is closed to app passwords that are not privileged: private messages and memories, and moving the account.
#[must_use]
pub fn is_privileged(lxm: &str) -> bool {
    let below = |name: &&str| lxm.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    PRIVATE.iter().any(below) || lxm.eq_ignore_ascii_case(CREATE_ACCOUNT)
}

/// The one method for which an account that is taken down may get a token: to leave.
pub const CREATE_ACCOUNT: &str = "com.atproto.server.createAccount";

/// Everything below these is private: messages of the reference server and our own, and memories.
const PRIVATE: [&str; 3] = ["chat.bsky.", "agent.comms.", "agent.memory."];

/// The reference server's list.
const PROTECTED: [&str; 16] = [
    "com.atproto.admin.sendEmail",
    "com.atproto.identity.requestPlcOperationSignature",
    "com.atproto.identity.signPlcOperation",
    "com.atproto.identity.updateHandle",
    "com.atproto.server.activateAccount",
    "com.atproto.server.confirmEmail",
    "com.atproto.server.createAppPassword",
    "com.atproto.server.deactivateAccount",
    "com.atproto.server.getAccountInviteCodes",
    "com.atproto.server.getSession",
    "com.atproto.server.listAppPasswords",
    "com.atproto.server.requestAccountDelete",
    "com.atproto.server.requestEmailConfirmation",
    "com.atproto.server.requestEmailUpdate",
    "com.atproto.server.revokeAppPassword",
    "com.atproto.server.updateEmail",
];
