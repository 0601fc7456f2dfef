//! A sandbox of a test's own: light clusters, as many as it needs, taken down with it.

use crate::{Finished, World};

/// The sandbox, and the environment in which commands reach it.
#[derive(Debug)]
pub struct Own {
    name: String,
    /// A world in which this sandbox is the only one.
    pub world: World,
}

impl Own {
    /// Brings up so many API servers; the name is unique to this process.
    ///
    /// # Panics
    /// When they do not come up; what there is of them is taken down then.
    pub fn up(purpose: &str, clusters: usize) -> Self {
        let mut own = Self {
            name: format!("e2e-{purpose}-{:x}", std::process::id()),
            world: World::join(),
        };
        let clusters = clusters.to_string();
        own.sandbox("up", &["--clusters", &clusters, "--api-only"])
            .expect(0);
        let exports = own.sandbox("env", &[]).expect(0);
        for (name, value) in exports.exports() {
            own.world.set(name, value);
        }
        own
    }

    fn sandbox(&self, command: &str, more: &[&str]) -> Finished {
        let program = self.world.variable("AKS_SANDBOX_PROGRAM");
        let words = [&[program, command, "--name", self.name.as_str()], more].concat();
        self.world.run_words(&words)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let down = self.sandbox("down", &[]);
        assert!(down.code == 0 || std::thread::panicking(), "{}", down.stderr);
    }
}

impl Finished {
    /// The variables that it printed for a shell, as `cargo sandbox env` does.
    pub fn exports(&self) -> impl Iterator<Item = (&str, &str)> {
        let exports = self
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("export "));
        exports
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('\'')))
    }
}
