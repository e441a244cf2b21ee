//! `com.atproto.server`

use crate::agent::{credential, mail, server};
use crate::limits::{DAY, FIVE_MINUTES, HOUR, LETTERS, Limit};
use crate::method::{Auth, Kind, Method, Standing};

pub(super) const METHODS: &[Method] = &[
    Method::host("com.atproto.server.activateAccount", Kind::Procedure, |host, call| {
        Box::pin(async move { host.activate_account(&call).await })
    })
    .auth(Auth::Full)
    .standing(Standing::NotTakendown),
    Method::host("com.atproto.server.checkAccountStatus", Kind::Query, |host, call| {
        Box::pin(async move { host.check_account_status(&call).await })
    })
    .auth(Auth::Access),
    Method::own("com.atproto.server.confirmEmail", Kind::Procedure, Auth::Access, mail::confirm_email)
        .standing(Standing::NotTakendown),
    Method::host("com.atproto.server.createAccount", Kind::Procedure, |host, call| {
        Box::pin(async move { host.create_account(&call).await })
    })
    .auth(Auth::OptionalService)
    .limits(&[Limit::client(100, FIVE_MINUTES)]),
    Method::own(
        "com.atproto.server.createAppPassword",
        Kind::Procedure,
        Auth::Full,
        credential::create_app_password,
    )
    .standing(Standing::NotTakendown),
    Method::host("com.atproto.server.createInviteCode", Kind::Procedure, |host, call| {
        Box::pin(async move { host.create_invite_code(&call.input).await })
    })
    .auth(Auth::Admin),
    Method::host("com.atproto.server.createInviteCodes", Kind::Procedure, |host, call| {
        Box::pin(async move { host.create_invite_codes(&call.input).await })
    })
    .auth(Auth::Admin),
    Method::host("com.atproto.server.createSession", Kind::Procedure, |host, call| {
        Box::pin(async move { host.create_session(&call.input).await })
    })
    .limits(&[Limit::login(30, FIVE_MINUTES), Limit::login(300, DAY)]),
    Method::host("com.atproto.server.deactivateAccount", Kind::Procedure, |host, call| {
        Box::pin(async move { host.deactivate_account(&call).await })
    })
    .auth(Auth::FullEvenTakendown),
    Method::host("com.atproto.server.deleteAccount", Kind::Procedure, |host, call| {
        Box::pin(async move { host.delete_own_account(&call.input).await })
    })
    .limits(&[Limit::client(50, FIVE_MINUTES)]),
    Method::own(
        "com.atproto.server.deleteSession",
        Kind::Procedure,
        Auth::RefreshEvenExpired,
        server::delete_session,
    ),
    Method::host("com.atproto.server.describeServer", Kind::Query, |host, _| {
        Box::pin(async move { host.describe_server() })
    }),
    Method::host("com.atproto.server.getAccountInviteCodes", Kind::Query, |host, call| {
        Box::pin(async move { host.account_invite_codes(&call).await })
    })
    .auth(Auth::Full),
    Method::own(
        "com.atproto.server.getServiceAuth",
        Kind::Query,
        Auth::AccessEvenTakendown,
        credential::service_auth,
    ),
    Method::own("com.atproto.server.getSession", Kind::Query, Auth::AccessEvenTakendown, server::session),
    Method::own("com.atproto.server.listAppPasswords", Kind::Query, Auth::Access, credential::app_passwords),
    Method::own("com.atproto.server.refreshSession", Kind::Procedure, Auth::Refresh, server::refresh_session),
    Method::host("com.atproto.server.requestAccountDelete", Kind::Procedure, |host, call| {
        Box::pin(async move { host.request_account_delete(&call).await })
    })
    .auth(Auth::Full)
    .limits(LETTERS),
    Method::host("com.atproto.server.requestEmailConfirmation", Kind::Procedure, |host, call| {
        Box::pin(async move { host.request_email_confirmation(&call).await })
    })
    .auth(Auth::Access)
    .limits(LETTERS),
    Method::host("com.atproto.server.requestEmailUpdate", Kind::Procedure, |host, call| {
        Box::pin(async move { host.request_email_update(&call).await })
    })
    .auth(Auth::Full)
    .limits(LETTERS),
    Method::host("com.atproto.server.requestPasswordReset", Kind::Procedure, |host, call| {
        Box::pin(async move { host.request_password_reset(&call.input).await })
    })
    .limits(&[Limit::client(50, DAY), Limit::client(15, HOUR)]),
    Method::host("com.atproto.server.reserveSigningKey", Kind::Procedure, |host, call| {
        Box::pin(async move { host.reserve_signing_key(&call.input).await })
    })
    .limits(RESERVATIONS),
    Method::host("com.atproto.server.resetPassword", Kind::Procedure, |host, call| {
        Box::pin(async move { host.reset_password(&call.input).await })
    })
    .limits(&[Limit::client(50, FIVE_MINUTES)]),
    Method::own(
        "com.atproto.server.revokeAppPassword",
        Kind::Procedure,
        Auth::Access,
        credential::revoke_app_password,
    ),
    Method::host("com.atproto.server.updateEmail", Kind::Procedure, |host, call| {
        Box::pin(async move { host.update_email(&call).await })
    })
    .auth(Auth::Full),
];

/// Keys that a client may have reserved. The reference server has no limit; here 10,000 are kept for a week, and no single
/// client shall take them all.
const RESERVATIONS: &[Limit] = &[Limit::client(200, DAY), Limit::client(50, HOUR)];
