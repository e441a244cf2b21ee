//! `com.atproto.admin`: what the operator does, and the moderation service that the operator trusts.

use crate::method::{Auth, HostHandler, Kind, Method};

pub(super) const METHODS: &[Method] = &[
    operate("com.atproto.admin.deleteAccount", |host, call| {
        Box::pin(async move { host.delete_any_account(&call.input).await })
    }),
    moderate("com.atproto.admin.disableAccountInvites", Kind::Procedure, |host, call| {
        Box::pin(async move { host.disable_account_invites(&call.input).await })
    }),
    moderate("com.atproto.admin.disableInviteCodes", Kind::Procedure, |host, call| {
        Box::pin(async move { host.disable_invite_codes(&call.input).await })
    }),
    moderate("com.atproto.admin.enableAccountInvites", Kind::Procedure, |host, call| {
        Box::pin(async move { host.enable_account_invites(&call.input).await })
    }),
    moderate("com.atproto.admin.getAccountInfo", Kind::Query, |host, call| {
        Box::pin(async move { host.account_info(&call.params).await })
    }),
    moderate("com.atproto.admin.getAccountInfos", Kind::Query, |host, call| {
        Box::pin(async move { host.account_infos(&call.params).await })
    }),
    moderate("com.atproto.admin.getInviteCodes", Kind::Query, |host, call| {
        Box::pin(async move { host.invite_codes(&call.params).await })
    }),
    moderate("com.atproto.admin.getSubjectStatus", Kind::Query, |host, call| {
        Box::pin(async move { host.subject_status(&call.params).await })
    }),
    moderate("com.atproto.admin.searchAccounts", Kind::Query, |host, call| {
        Box::pin(async move { host.search_accounts(&call.params).await })
    }),
    moderate("com.atproto.admin.sendEmail", Kind::Procedure, |host, call| {
        Box::pin(async move { host.send_email(&call.input).await })
    }),
    operate("com.atproto.admin.updateAccountEmail", |host, call| {
        Box::pin(async move { host.update_account_email(&call.input).await })
    }),
    operate("com.atproto.admin.updateAccountHandle", |host, call| {
        Box::pin(async move { host.update_account_handle(&call.input).await })
    }),
    operate("com.atproto.admin.updateAccountPassword", |host, call| {
        Box::pin(async move { host.update_account_password(&call.input).await })
    }),
    moderate("com.atproto.admin.updateSubjectStatus", Kind::Procedure, |host, call| {
        Box::pin(async move { host.update_subject_status(call.input).await })
    }),
];

const fn operate(nsid: &'static str, run: HostHandler) -> Method {
    Method::host(nsid, Kind::Procedure, run).auth(Auth::Admin)
}

const fn moderate(nsid: &'static str, kind: Kind, run: HostHandler) -> Method {
    Method::host(nsid, kind, run).auth(Auth::Moderator)
}
