//! Applications of the simulated Entra that a test makes for itself, to sign in with rights of its choice.

use crate::World;
use serde_json::{Value, json};

/// An application with a service principal in the sandbox's tenant.
#[derive(Debug)]
pub struct Application {
    /// Its client id.
    pub client: String,
    /// The object id of its service principal.
    pub object: String,
    /// A secret of it.
    pub secret: String,
}

impl Application {
    /// Makes one with roles, each at a scope, and with more fields of the simulator's seed.
    ///
    /// # Panics
    /// When the simulated Azure refuses.
    pub fn new(world: &World, more: &Value, roles: &[(&str, &str)]) -> Self {
        let made = Self {
            client: uuid(),
            object: uuid(),
            secret: uuid(),
        };
        let mut principal = json!({
            "displayName": format!("app-{}", made.client),
            "clientId": made.client,
            "objectId": made.object,
            "secrets": [made.secret],
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            principal[name] = value.clone();
        }
        add(world, &json!({"servicePrincipals": [principal]}));
        for (role, scope) in roles {
            made.assign(world, role, scope);
        }
        made
    }

    /// Assigns it a role, as somebody does who may.
    ///
    /// # Panics
    /// When the simulated Azure refuses.
    pub fn assign(&self, world: &World, role: &str, scope: &str) {
        assign(world, &self.object, role, scope);
    }

    /// Signs the commands to come in as this application.
    pub fn sign_in(&self, world: &mut World) {
        world.set("AZURE_CLIENT_ID", &self.client);
        world.set("AZURE_CLIENT_SECRET", &self.secret);
    }
}

/// Assigns a principal a role, as somebody does who may.
///
/// # Panics
/// When the simulated Azure refuses.
pub fn assign(world: &World, principal: &str, role: &str, scope: &str) {
    let assignment = json!({"principal": principal, "role": role, "scope": scope});
    add(world, &json!({"roleAssignments": [assignment]}));
}

/// Adds what the simulator's seed could have had.
///
/// # Panics
/// When the simulated Azure refuses.
pub fn add(world: &World, resources: &Value) {
    world.sandbox(&["azure", "add", &resources.to_string()]).expect(0);
}

/// An id that nobody has.
///
/// # Panics
/// Where the kernel makes none.
pub fn uuid() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes ids");
    text.trim().to_owned()
}
