// Where this server answers otherwise than the reference and means to: by request, the field
// (`status`, `error`, `message`, `headers.x`, `body.x`) with this server's value (`<any>`: not
// compared), and why. Everything else must be as recorded. A deviation that is no longer needed
// fails the run, so that the list stays true.

/** Refused here, accepted by the reference. */
const refused = (reason) => ({ reason, status: 400, error: 'InvalidRequest', keys: '<any>', body: '<any>' })
/** Refused by both, but the reference fails at it. */
const not500 = (reason, more = {}) => ({ reason: `${reason}; the reference fails with 500`, status: 400, error: 'InvalidRequest', ...more })
/** The same answer under the name that the method's lexicon gives it. */
const named = (error) => ({ reason: 'the name that the lexicon gives this error', error })

const INTEROP = 'not a valid value: interop-test-files, data-model-invalid.json; the reference stores it as a plain map'
const NO_PROXY = 'the name and status of the XRPC specification; the reference would ask an AppView if it had one'
const GUARDED = {
  reason: 'the password is looked at before anything else, and a refusal too is for whoever showed it',
  'headers.cache-control': 'private',
  'headers.vary': 'authorization',
}
const QUARANTINE = {
  reason: 'whoever judges a blob must see it, and its owner has it anyway',
  status: 200,
  headers: '<any>',
  error: '<any>',
  message: '<any>',
  keys: '<any>',
}
const PARSER = 'one name for whatever is wrong with a body; the reference shows its JSON parser\'s'
/** The document of an account. */
const rendered = (who) => ({
  reason: 'made from the log, as plc.directory renders it today; the reference repeats what the server of npm renders, which is older',
  'body.didDoc.@context': '<any>',
  'body.didDoc.verificationMethod[0].id': `<${who}>#atproto`,
  'body.didDoc.verificationMethod[0].type': 'Multikey',
})
const PRIVATE = {
  reason: 'whatever is answered to a token is for nobody else, refusals of a parameter too',
  'headers.cache-control': 'private',
  'headers.vary': 'authorization',
}

export const deviations = {
  createAccount: rendered('carol'),
  describeRepo: rendered('alice'),
  'describeRepo by handle': rendered('alice'),
  'createAccount: taken handle': named('HandleNotAvailable'),
  'createAccount: taken handle in capitals': named('HandleNotAvailable'),

  'getServiceAuth: no audience': PRIVATE,
  'getServiceAuth: a method that is none': PRIVATE,
  'getServiceAuth: an end that is none': PRIVATE,
  'createAppPassword: a name that is taken': not500('the caller has one of that name'),

  'createRecord: a repo nobody has': {
    reason: 'a token for one account says nothing about another, nor whether there is one',
    status: 401,
    error: 'AuthenticationRequired',
    message: 'Authentication Required',
  },
  'createRecord: key in use': not500('the record exists', { message: '<any>' }),
  'createRecord: an integer too great': not500('beyond 2^53 - 1'),
  'createRecord: a legacy blob': not500('legacy blobs are not for new records'),
  'createRecord: a broken link': refused(INTEROP),
  'createRecord: a link with another key': refused(INTEROP),
  'createRecord: broken bytes': refused(INTEROP),
  'createRecord: an empty $type within': refused(INTEROP),
  'createRecord: an empty key': refused('a map has no key of no bytes: atproto.com, guide to data validation'),

  'applyWrites: none': { reason: 'what changes nothing makes no commit', 'body.commit': '<any>' },
  'applyWrites: created and deleted at once': { reason: 'what changes nothing makes no commit', 'body.commit': '<any>' },
  'applyWrites: create over an existing key': not500('the record exists'),
  'applyWrites: update of nothing': not500('there is no record'),
  'applyWrites: delete of nothing': not500('there is no record'),

  'uploadBlob: nothing': refused('a body of no bytes and no body look the same from a Worker'),
  'getBlob: not referenced yet': named('BlobNotFound'),
  'getBlob: unknown': named('BlobNotFound'),
  'getBlob: another\'s': named('BlobNotFound'),
  'getBlob: no longer referenced': named('BlobNotFound'),
  'getBlob: a page': { reason: 'the type as it was stored, with nothing added', 'headers.content-type': 'text/html' },
  'getBlocks: one unknown': named('BlockNotFound'),

  'getAccountInfo: not a DID': GUARDED,
  'getAccountInfo: missing': GUARDED,
  'getAccountInfos: none': GUARDED,
  'updateSubjectStatus: a subject of another kind': refused('there is nothing that it could be about'),
  'getBlob: taken down': named('BlobNotFound'),
  'getBlob: taken down, by another': named('BlobNotFound'),
  'getBlob: taken down, by its owner': QUARANTINE,
  'getBlob: taken down, by the operator': QUARANTINE,
  'updateAccountEmail: that is taken': not500('the address is another account\'s'),

  'subscribeRepos without an upgrade': { reason: 'what HTTP has for it', status: 426, error: 'UpgradeRequired' },
  'unknown method, GET': { reason: NO_PROXY, status: 501, error: 'MethodNotImplemented' },
  'unknown method, POST': { reason: NO_PROXY, status: 501, error: 'MethodNotImplemented' },
  'unknown com.atproto method': { reason: NO_PROXY, status: 501, error: 'MethodNotImplemented' },
  'name with a trailing slash': refused('a slash is no part of a name'),

  'broken JSON': { reason: PARSER, error: 'InvalidRequest' },
  'JSON of the wrong kind: null': { reason: PARSER, error: 'InvalidRequest' },
  'JSON of the wrong kind: a string': { reason: PARSER, error: 'InvalidRequest' },
  'body in an unknown encoding': { reason: PARSER, status: 400, error: 'InvalidRequest' },
  'a body above the limit for JSON': { reason: 'one name for it; the reference has two', error: 'PayloadTooLarge' },
  'a body above the limit for writes': { reason: 'one name for it; the reference has two', error: 'PayloadTooLarge' },
}
