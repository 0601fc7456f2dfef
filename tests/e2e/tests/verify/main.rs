//! Break it every way: each row breaks one thing about a workload that works, as it really breaks. The first finding
//! must be that cause with the right fix, and with the fix applied (or, where it is nobody's command, with the thing put
//! back) verification passes again. What the page of findings says of it is held against a real application's log.
//! Which findings have no row, and why, stands in `coverage`.

mod access;
mod case;
mod coverage;
mod documented;
mod policy;
mod rebuilt;
mod rights;
mod trust;
mod waiting;
mod workload;
