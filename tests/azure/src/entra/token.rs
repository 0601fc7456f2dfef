//! The token endpoint: who asks, for which resource, with which proof.

use serde_json::json;
use url::form_urlencoded;
use uuid::Uuid;

use super::assertion;
use super::error::Refusal;
use crate::clock::Millis;
use crate::http::{Call, Reply};
use crate::seed::Disabled;
use crate::state::Principal;
use crate::token::{self, EXCHANGE_AUDIENCE, Proof};
use crate::world::World;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Grants that Entra knows and that are not served here.
const CONFIDENTIAL_GRANTS: [&str; 4] = [
    "authorization_code",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
];

/// Resources of every directory besides the resource manager and vaults: the exchange of tokens, AKS clusters and
/// Microsoft Graph.
const OTHER_RESOURCES: [&str; 3] = [
    EXCHANGE_AUDIENCE,
    "6dae42f8-4368-4678-94ff-3960e28e3630",
    "https://graph.microsoft.com",
];

/// The form of a token request.
struct Form(Vec<(String, String)>);

impl Form {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn require(&self, name: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::Missing(name))
    }
}

/// Answers a request for a token.
pub(super) async fn answer(world: &World, call: &Call, tenant: &str) -> Result<Reply, Refusal> {
    let form = Form(form_urlencoded::parse(&call.body).into_owned().collect());
    let tenant = match super::tenant_of(&world.state(), tenant) {
        // Users would be sent to the other cloud; an application that proves itself cannot be.
        Err(Refusal::OtherCloud(..))
            if form.get("client_assertion").is_some() || form.get("client_secret").is_some() =>
        {
            return Err(Refusal::CrossCloud);
        }
        tenant => tenant?,
    };
    let grant = form.require("grant_type")?;
    let proven = form.get("client_assertion").is_some() || form.get("client_secret").is_some();
    if grant != "client_credentials" {
        // Every application here is confidential, so that it has to prove itself for these grants as well.
        return Err(if CONFIDENTIAL_GRANTS.contains(&grant) && !proven {
            Refusal::NoProof
        } else {
            Refusal::GrantType(grant.to_owned())
        });
    }
    let client = form.require("client_id")?;
    let scope = form.require("scope")?;
    let resource = resource_of(scope).ok_or_else(|| Refusal::Scope(scope.to_owned()))?;
    let principal = principal(world, tenant, client)?;
    let proof = match (form.get("client_assertion"), form.get("client_secret")) {
        (Some(text), _) => {
            let kind = form.require("client_assertion_type")?;
            if kind != ASSERTION_TYPE {
                return Err(Refusal::AssertionType(kind.to_owned()));
            }
            assertion::check(world, call.now, tenant, &principal, text).await?
        }
        (None, Some(secret)) => {
            check_secret(world, call.now, &principal, secret)?;
            Proof::Secret
        }
        (None, None) => return Err(Refusal::NoCredentialOfClient),
    };
    check_place(world, call, &principal)?;
    let audience = audience(world, tenant, resource)?;
    let directory = world.directory(tenant);
    let access_token = token::issue(&world.key, call.now, directory, &principal, &audience, proof)
        .map_err(|_| Refusal::Transient)?;
    let lifetime = token::lifetime(&principal) - 1;
    Ok(Reply::ok(json!({
        "token_type": "Bearer",
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": access_token,
    })))
}

/// Scopes of OpenID Connect itself: MSAL sends them with every request, and they name no resource.
const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "offline_access", "email"];

/// The one resource that a scope is for.
fn resource_of(scope: &str) -> Option<&str> {
    let mut scopes = scope
        .split(' ')
        .filter(|scope| !scope.is_empty() && !OPENID_SCOPES.contains(scope));
    let only = scopes.next().filter(|_| scopes.next().is_none())?;
    only.strip_suffix("/.default")
        .filter(|resource| !resource.is_empty())
}

/// The application or identity with this client id, in this tenant.
fn principal(world: &World, tenant: Uuid, client: &str) -> Result<Principal, Refusal> {
    let state = world.state();
    let directory = || {
        let tenant = state.tenants.iter().find(|known| known.id == tenant);
        tenant.map_or_else(String::new, |tenant| tenant.display_name.clone())
    };
    let unknown = || Refusal::Application(client.to_owned(), directory());
    let id = Uuid::parse_str(client).map_err(|_| unknown())?;
    let found = if tenant == state.tenant().id {
        state.by_client_id(id)
    } else {
        None
    };
    match found {
        None => Err(unknown()),
        Some(principal) => match principal.disabled {
            None => Ok(principal),
            Some(Disabled::Everywhere) => Err(Refusal::Disabled(id, principal.name)),
            Some(Disabled::InTenant) => Err(Refusal::DisabledInTenant(id, principal.name, tenant)),
        },
    }
}

/// Whether the policies let the client sign in from where it is, once it has proven itself.
fn check_place(world: &World, call: &Call, principal: &Principal) -> Result<(), Refusal> {
    let state = world.state();
    let allowed = state
        .applications
        .iter()
        .find(|one| one.client_id == principal.client_id)
        .and_then(|application| application.allowed_ips.as_ref());
    if allowed.is_none_or(|allowed| allowed.contains(&call.peer)) {
        Ok(())
    } else {
        Err(Refusal::ConditionalAccess)
    }
}

fn check_secret(world: &World, now: Millis, principal: &Principal, secret: &str) -> Result<(), Refusal> {
    let (state, client) = (world.state(), principal.client_id);
    let application = state.applications.iter().find(|one| one.client_id == client);
    let Some(application) = application else {
        return Err(Refusal::Secret(client));
    };
    if application.secrets.iter().any(|known| known.0 == secret) {
        return Ok(());
    }
    match application
        .ending_secrets
        .iter()
        .find(|known| known.value.0 == secret)
    {
        Some(known) if now < known.end.as_millisecond() => Ok(()),
        Some(_) => Err(Refusal::SecretExpired(client)),
        None => Err(Refusal::Secret(client)),
    }
}

/// The audience of tokens for a resource that the directory knows, in the way in which it was asked for.
pub(super) fn audience(world: &World, tenant: Uuid, resource: &str) -> Result<String, Refusal> {
    let bare = resource.trim_end_matches('/');
    let known = world.arm_audiences().iter().any(|audience| audience == bare)
        || world.vault_audience == bare
        || OTHER_RESOURCES.contains(&bare);
    if known {
        Ok(resource.to_owned())
    } else {
        Err(Refusal::Resource(resource.to_owned(), tenant.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::resource_of;

    #[test]
    fn a_scope_names_one_resource_beside_those_of_openid() {
        let vault = Some("https://vault.azure.net");
        assert_eq!(resource_of("https://vault.azure.net/.default"), vault);
        assert_eq!(
            resource_of("https://vault.azure.net/.default openid offline_access profile"),
            vault
        );
        for bad in [
            "https://vault.azure.net",
            "openid",
            "/.default",
            "a/.default b/.default",
            "",
        ] {
            assert_eq!(resource_of(bad), None, "{bad}");
        }
    }
}
