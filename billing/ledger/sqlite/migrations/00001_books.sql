-- +goose Up

-- Keys are the 32 bytes of an Ed25519 public key. Amounts are micro-units of
-- the account's currency. Times are unix seconds.
CREATE TABLE accounts (
    account     BLOB    NOT NULL PRIMARY KEY CHECK (length(account) = 32),
    name        TEXT    NOT NULL,
    currency    TEXT    NOT NULL,
    deposit     INTEGER NOT NULL CHECK (deposit >= 0),
    credit_line INTEGER NOT NULL CHECK (credit_line >= 0),
    suspended   INTEGER NOT NULL CHECK (suspended IN (0, 1)),
    balance     INTEGER NOT NULL DEFAULT 0, -- earned less owed: the sum of the account's entries
    reserved    INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0), -- the sum over the account's channels as payer
    CHECK (deposit + credit_line + balance >= reserved) -- invariant I3
) STRICT;

-- What Post needs to know of a tariff, beside its envelope.
CREATE TABLE tariffs (
    tariff     BLOB    NOT NULL PRIMARY KEY CHECK (length(tariff) = 32), -- SHA-256 of the envelope
    per_gib    INTEGER NOT NULL,
    per_lookup INTEGER NOT NULL,
    free_bytes INTEGER NOT NULL,
    toll_free  INTEGER NOT NULL,
    envelope   BLOB    NOT NULL
) STRICT;

CREATE TABLE channels (
    channel       BLOB    NOT NULL PRIMARY KEY CHECK (length(channel) = 32),
    payer         BLOB    NOT NULL, -- the key that signs vouchers
    payer_account BLOB    NOT NULL REFERENCES accounts (account),
    payee_account BLOB    NOT NULL REFERENCES accounts (account),
    tariff        BLOB    NOT NULL REFERENCES tariffs (tariff),
    period        INTEGER NOT NULL,
    limit_bytes   INTEGER NOT NULL, -- cap with grace
    limit_credits INTEGER NOT NULL,
    grace_until   INTEGER NOT NULL,
    approval      BLOB    NOT NULL, -- envelope
    reserved      INTEGER NOT NULL CHECK (reserved >= 0), -- limit_credits - credits; 0 when released
    released      INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1)),
    entry         INTEGER NOT NULL DEFAULT 0, -- the last one; 0 if none
    bytes         INTEGER NOT NULL DEFAULT 0 CHECK (bytes <= limit_bytes), -- invariant I6
    lookups       INTEGER NOT NULL DEFAULT 0,
    credits       INTEGER NOT NULL DEFAULT 0 CHECK (credits <= limit_credits),
    CHECK (payer_account <> payee_account)
) STRICT;

CREATE INDEX channels_by_payer ON channels (payer_account, period);
CREATE INDEX channels_by_payee ON channels (payee_account, period);
CREATE INDEX channels_open ON channels (released, grace_until);

-- The journal: each entry debits the payer's account and credits the payee's.
CREATE TABLE entries (
    entry         INTEGER NOT NULL PRIMARY KEY CHECK (entry > 0),
    channel       BLOB    NOT NULL REFERENCES channels (channel),
    payer_account BLOB    NOT NULL,
    payee_account BLOB    NOT NULL,
    amount        INTEGER NOT NULL CHECK (amount >= 0),
    voucher       BLOB    NOT NULL, -- envelope
    voucher_hash  BLOB    NOT NULL, -- its SHA-256
    booked_at     INTEGER NOT NULL,
    head          BLOB    NOT NULL CHECK (length(head) = 32)
) STRICT;

CREATE TABLE revocations (
    key        BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    epoch      INTEGER NOT NULL UNIQUE,
    revoked_at INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE revocations;
DROP TABLE entries;
DROP TABLE channels;
DROP TABLE tariffs;
DROP TABLE accounts;
