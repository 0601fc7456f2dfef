//! What the tests of documents share: the command line, and files in a test's own folder.

use e2e::World;
use std::fs;

pub(crate) const CONTEXT: &str = "aks-weu-1";
pub(crate) const SECRET: &str = "kv-central/db-password";

pub(crate) fn setup(namespace: &str) -> String {
    format!(
        "kubectl wi setup --context {CONTEXT} -n {namespace} --service-account orders --service-account-owner setup"
    )
}

pub(crate) fn write(world: &World, name: &str, text: &str) {
    fs::write(world.folder().join(name), text).expect("the test's folder can be written to");
}

pub(crate) fn read(world: &World, name: &str) -> String {
    let path = world.folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
