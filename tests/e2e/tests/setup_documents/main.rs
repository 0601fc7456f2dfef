//! What goes into `kubectl wi setup` and what comes out of it: files, plans, grants for others, values and step outputs,
//! and the words for bad input. With the built binary, judged by what Azure says afterwards.

mod files;
mod grants;
mod help;
mod refusals;
mod results;
mod support;
