//! Checking a signature with the secret key that made it.
//!
//! A verifier computes the point `u1·G + u2·Q` from the signature and the public key `Q`. Who has the secret `d` of
//! `Q = d·G` gets the same point as `(u1 + u2·d)·G`: one multiple of the base point, for which there is a table, instead of
//! one of any point. It is the same check of the same bytes in a third of the time.
//!
//! `u1 + u2·d` is the nonce again, as secret as the key: constant time, and wiped.

use k256::ecdsa::Signature;
use k256::elliptic_curve::ops::{Invert, Reduce};
use k256::elliptic_curve::point::AffineCoordinates;
use k256::{ProjectivePoint, Scalar, U256};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

/// Whether `signature` is of `message` by the key whose secret is `secret`.
pub(crate) fn is_signed(secret: &Scalar, message: &[u8], signature: &Signature) -> bool {
    let (r, s) = signature.split_scalars();
    let hash = scalar(&Sha256::digest(message).into());
    let mut nonce = (hash + *r * secret) * *Invert::invert_vartime(&s);
    let point = ProjectivePoint::mul_by_generator(&nonce).to_affine();
    nonce.zeroize();
    scalar(&point.x().into()) == *r
}

/// The number of 32 bytes, modulo the order of the curve.
fn scalar(bytes: &[u8; 32]) -> Scalar {
    Scalar::reduce(&U256::from_be_slice(bytes))
}
