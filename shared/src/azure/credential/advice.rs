//! What a person can do when nobody is signed in.

use super::{LinkAnswer, SignInError};
use crate::exit::ExitStatus;
use crate::failure::Failure;

impl SignInError {
    /// The failure of a command that cannot sign in: the links' answers are its causes.
    pub(in crate::azure) fn failure(&self, message: String) -> Failure {
        let failure = Failure::new(ExitStatus::Refused, message);
        match self {
            Self::SeveralPrincipals { first, second } => failure.with_causes(vec![self.to_string()]).hint(
                format!("choose one: --auth {} or --auth {}", first.method, second.method),
            ),
            Self::NoToken { answers } => {
                let causes = answers.iter().map(ToString::to_string).collect();
                let failure = failure.with_causes(causes);
                let refused = || answers.iter().filter(|answer| answer.refused);
                let failure = refused().flat_map(hints).fold(failure, Failure::hint);
                // What ends the chain was set up for this command, and so it is what has to be put right.
                if let Some(last) = refused()
                    .next_back()
                    .filter(|last| !last.is_ambient || answers.len() == 1)
                {
                    return failure.hint(format!("or choose another link than {} with --auth", last.link));
                }
                failure.hint("sign in: az login").hint(
                    "in a pipeline: `permissions: {id-token: write}` with AZURE_TENANT_ID and AZURE_CLIENT_ID (GitHub), the task AzureCLI@2 with `env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}` (Azure Pipelines), or AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE",
                )
            }
        }
    }
}

/// What can be done about a link that refused: what Entra's code says first, then what the link itself needs.
fn hints(answer: &LinkAnswer) -> Vec<String> {
    let by_code = code(&answer.answer).and_then(of_code).map(str::to_owned);
    let by_link = match answer.link {
        "azure-cli" => Some("sign in again: az login --tenant TENANT"),
        "azd" => Some("sign in again: azd auth login --tenant-id TENANT"),
        "azure-pipelines" => {
            Some("hand the job's token over: `env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}`")
        }
        "managed-identity" => Some(
            "name the machine's identity with AZURE_CLIENT_ID, or assign one: az vm identity assign --help",
        ),
        _ => None,
    };
    by_code.into_iter().chain(by_link.map(str::to_owned)).collect()
}

/// Entra's code in an answer. The tools that are asked print nothing else that could be read.
fn code(answer: &str) -> Option<u32> {
    let rest = answer.split_once("AADSTS")?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Advice by the code, of the reference of Entra's authentication errors.
const fn of_code(code: u32) -> Option<&'static str> {
    Some(match code {
        90_002 | 900_021 | 900_023 => {
            "check the tenant and the cloud (--tenant, --cloud): az account show --query tenantId"
        }
        700_016 => {
            "check AZURE_CLIENT_ID (a client id, no object or resource id) and --tenant: az ad sp show --id CLIENT-ID"
        }
        7_000_215 => {
            "AZURE_CLIENT_SECRET must be the secret's value, not its id: az ad app credential reset --id CLIENT-ID"
        }
        7_000_222 => "the secret or certificate has expired: az ad app credential reset --id CLIENT-ID",
        700_027 => {
            "register the certificate: az ad app credential reset --id CLIENT-ID --cert @FILE.pem --append"
        }
        70_021 | 700_211 | 700_212 | 700_213 | 7_002_138 | 70_025 => {
            "let the identity trust exactly this issuer, subject and audience: az ad app federated-credential create --id CLIENT-ID --parameters FILE, or az identity federated-credential create"
        }
        700_024 => {
            "the token's time is over: have a fresh one written to the file, and check this machine's clock"
        }
        50_173 | 70_043 | 70_008 | 700_082 | 700_084 => "the sign-in has expired",
        50_076 | 50_079 | 50_158 | 53_003 => {
            "a policy of the tenant asks for more than this sign-in: sign in with a second factor, or as a workload"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::azure::Principal;

    fn refused(link: &'static str, answer: &str) -> LinkAnswer {
        LinkAnswer {
            link,
            answer: answer.to_owned(),
            refused: true,
            is_ambient: matches!(link, "azure-cli" | "managed-identity"),
        }
    }

    fn failure(answers: Vec<LinkAnswer>) -> Failure {
        SignInError::NoToken { answers }.failure("cannot sign in to Azure".to_owned())
    }

    #[test]
    fn every_answer_is_a_cause_and_entras_code_decides_the_advice() {
        let absent = LinkAnswer {
            refused: false,
            ..refused("environment", "not configured: AZURE_CLIENT_ID is not set")
        };
        let expired = refused("azure-cli", "ERROR: AADSTS700082: The refresh token has expired");
        let failure = failure(vec![absent, expired]);
        assert_eq!(failure.status, ExitStatus::Refused);
        assert_eq!(failure.causes.len(), 2);
        assert_eq!(
            failure.hints[..2],
            [
                "the sign-in has expired",
                "sign in again: az login --tenant TENANT",
            ]
        );
    }

    #[test]
    fn a_link_that_was_set_up_is_to_be_put_right_and_one_that_is_just_there_is_not() {
        let last = |answers| failure(answers).hints.pop().unwrap();
        let secret = refused("environment", "AADSTS7000215: Invalid client secret provided.");
        assert_eq!(
            last(vec![secret]),
            "or choose another link than environment with --auth"
        );
        let absent = LinkAnswer {
            refused: false,
            ..refused("azd", "not on the PATH")
        };
        let machine = refused("managed-identity", "no identity");
        assert!(last(vec![machine.clone(), absent]).starts_with("in a pipeline: "));
        // With --auth it is the only one.
        assert_eq!(
            last(vec![machine]),
            "or choose another link than managed-identity with --auth"
        );
    }

    #[test]
    fn who_has_nothing_is_told_how_to_sign_in() {
        let hints = failure(Vec::new()).hints;
        assert!(hints[0].contains("az login"), "{hints:?}");
        assert!(hints[1].contains("id-token: write"), "{hints:?}");
    }

    #[test]
    fn two_principals_are_both_named_with_their_flags() {
        let principal = |method: &str, name: &str| {
            Box::new(Principal {
                method: method.to_owned(),
                tenant: "t".to_owned(),
                object_id: Some(name.to_owned()),
                name: Some(name.to_owned()),
            })
        };
        let error = SignInError::SeveralPrincipals {
            first: principal("github", "deployer"),
            second: principal("workload-identity", "runner"),
        };
        let failure = error.failure("cannot sign in to Azure".to_owned());
        assert!(
            failure.causes[0].contains("deployer of tenant t (github)"),
            "{failure:?}"
        );
        assert!(failure.causes[0].contains("runner of tenant t (workload-identity)"));
        assert!(failure.hints[0].contains("--auth github or --auth workload-identity"));
    }
}
