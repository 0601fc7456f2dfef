//! Break it every way: each row breaks one thing about a workload that works, as it really breaks. The first finding
//! must be that cause with the right fix, and with the fix applied (or, where it is nobody's command, with the thing put
//! back) verification passes again. What the page of findings says of it is held against a real application's log.
//!
//! Not here, and judged from recorded facts beside the diagnosis instead: a token past its end (an API server gives none
//! for less than ten minutes, and kubelets renew them), and a discovery document that names another issuer than the
//! tokens (an API server names the same one in both).

mod access;
mod case;
mod documented;
mod rebuilt;
mod trust;
mod waiting;
mod workload;
