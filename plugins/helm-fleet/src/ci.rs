//! What a CI system tells of the run that we are part of.

use aks_shared::env::Env;

/// The commit that is being deployed.
pub fn commit(env: &Env) -> Option<String> {
    env.get("GITHUB_SHA").or_else(|| env.get("BUILD_SOURCEVERSION"))
}

/// Who started the run: the pipeline's actor, else the user of this machine.
pub fn actor(env: &Env) -> String {
    let variables = ["GITHUB_ACTOR", "BUILD_REQUESTEDFOR", "USER", "USERNAME"];
    let named = variables.iter().find_map(|name| env.get(name));
    named.unwrap_or_else(|| "somebody".to_owned())
}

/// The page of the pipeline run.
pub fn pipeline_url(env: &Env) -> Option<String> {
    let github = || {
        let (server, repository, run) = (
            env.get("GITHUB_SERVER_URL")?,
            env.get("GITHUB_REPOSITORY")?,
            env.get("GITHUB_RUN_ID")?,
        );
        Some(format!("{server}/{repository}/actions/runs/{run}"))
    };
    let azure = || {
        let (collection, project, build) = (
            env.get("SYSTEM_COLLECTIONURI")?,
            env.get("SYSTEM_TEAMPROJECT")?,
            env.get("BUILD_BUILDID")?,
        );
        Some(format!(
            "{collection}{}/_build/results?buildId={build}",
            project.replace(' ', "%20")
        ))
    };
    github().or_else(azure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_systems_name_their_page() {
        let github = Env::of([
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/orders"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_SHA", "abc"),
        ]);
        assert_eq!(
            pipeline_url(&github).as_deref(),
            Some("https://github.com/acme/orders/actions/runs/7")
        );
        assert_eq!(commit(&github).as_deref(), Some("abc"));
        let azure = Env::of([
            ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/acme/"),
            ("SYSTEM_TEAMPROJECT", "the shop"),
            ("BUILD_BUILDID", "7"),
        ]);
        assert_eq!(
            pipeline_url(&azure).as_deref(),
            Some("https://dev.azure.com/acme/the%20shop/_build/results?buildId=7")
        );
        assert_eq!(pipeline_url(&Env::of::<&str, &str>([])), None);
    }
}
