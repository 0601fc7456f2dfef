//! CI systems: what steps hand to later ones, and keeping foreign text from being taken for a command.
//!
//! Azure Pipelines acts on `##vso[` anywhere in a line of either output, GitHub Actions on `::` at its start
//! (<https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands>,
//! <https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands>).

use crate::env::{Env, place};
use crate::failure::Failure;
use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How much GitHub Actions takes for the summary of a step
/// (<https://docs.github.com/actions/reference/limits>): 1 MiB, beyond which it drops all of it.
const SUMMARY_LIMIT: usize = 1 << 20;
/// What stands where a summary was cut.
const CUT: &str = "\n*This goes on in the report file.*\n";

/// A CI system whose steps can have outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CiSystem {
    /// Azure Pipelines: output variables of the step
    Azure,
    /// GitHub Actions: outputs of the step
    Github,
}

/// Which CI system is told of what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum CiChoice {
    /// The one that runs this, if any
    #[default]
    Auto,
    /// Azure Pipelines
    Azure,
    /// GitHub Actions
    Github,
    /// None
    None,
}

impl CiChoice {
    /// The system that is told.
    pub fn told(self, env: &Env) -> Option<CiSystem> {
        match self {
            Self::Auto => CiSystem::of(env),
            Self::Azure => Some(CiSystem::Azure),
            Self::Github => Some(CiSystem::Github),
            Self::None => None,
        }
    }
}

/// How grave a message is that a system shows beside the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gravity {
    /// Something failed.
    Error,
    /// Somebody should look.
    Warning,
}

impl CiSystem {
    /// The command that shows a message beside the run.
    pub fn annotation(self, gravity: Gravity, title: &str, text: &str) -> String {
        let kind = match gravity {
            Gravity::Error => "error",
            Gravity::Warning => "warning",
        };
        match self {
            Self::Azure => format!(
                "##vso[task.logissue type={kind}]{}",
                azure_data(&format!("{title}: {text}"))
            ),
            Self::Github => {
                let title = github_data(title).replace(':', "%3A").replace(',', "%2C");
                format!("::{kind} title={title}::{}", github_data(text))
            }
        }
    }

    /// The line that begins a group of lines that the system folds.
    pub fn group(self, title: &str) -> String {
        match self {
            Self::Azure => format!("##[group]{}", azure_data(title)),
            Self::Github => format!("::group::{}", github_data(title)),
        }
    }

    /// The line that ends the group.
    pub const fn group_end(self) -> &'static str {
        match self {
            Self::Azure => "##[endgroup]",
            Self::Github => "::endgroup::",
        }
    }

    /// The system that runs this process, when it is one of these.
    pub fn of(env: &Env) -> Option<Self> {
        if env.get(place::TF_BUILD).is_some() {
            Some(Self::Azure)
        } else {
            env.get(place::GITHUB_ACTIONS).map(|_| Self::Github)
        }
    }

    /// A text that the system takes for nothing but text.
    pub(crate) fn defused(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Azure if text.contains("##") => {
                Cow::Owned(text.replace("##vso[", "## vso[").replace("##[", "## ["))
            }
            Self::Github if text.contains("::") || text.contains("##[") => {
                let line = |line: &str| {
                    let start = line.len() - line.trim_start().len();
                    let (blank, rest) = line.split_at(start);
                    match rest.strip_prefix("::") {
                        Some(rest) => format!("{blank}: :{rest}"),
                        None => line.replace("##[", "## ["),
                    }
                };
                Cow::Owned(text.split('\n').map(line).collect::<Vec<_>>().join("\n"))
            }
            Self::Azure | Self::Github => Cow::Borrowed(text),
        }
    }
}

/// Where the outputs of this step go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutputs {
    /// Logging commands on standard error.
    Azure,
    /// Lines of the file that `GITHUB_OUTPUT` names.
    Github(PathBuf),
}

impl StepOutputs {
    /// Where a system wants them.
    ///
    /// # Errors
    /// A usage failure outside GitHub Actions, where no file is named.
    pub fn of(system: CiSystem, env: &Env) -> Result<Self, Failure> {
        match system {
            CiSystem::Azure => Ok(Self::Azure),
            CiSystem::Github => match env.path(place::GITHUB_OUTPUT) {
                Some(file) => Ok(Self::Github(file)),
                None => Err(Failure::usage(
                    "--ci github needs the file that GITHUB_OUTPUT names, and it is not set",
                )
                .hint("run this in a step of GitHub Actions, or set GITHUB_OUTPUT to a file")),
            },
        }
    }

    /// Sets outputs; what is to be printed comes back, line by line.
    ///
    /// # Errors
    /// When the file cannot be written to.
    pub fn set(&self, outputs: &[(String, String)]) -> io::Result<Vec<String>> {
        match self {
            Self::Azure => Ok(outputs
                .iter()
                .map(|(name, value)| azure_variable(name, value))
                .collect()),
            Self::Github(file) => append(file, outputs).map(|()| Vec::new()),
        }
    }
}

fn append(file: &Path, outputs: &[(String, String)]) -> io::Result<()> {
    let mut text = String::new();
    for (name, value) in outputs {
        text.push_str(&github_output(name, value, &uuid::Uuid::new_v4().to_string()));
    }
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(text.as_bytes())
}

/// Adds a Markdown file to the page of the run; a line that is to be printed may come back. `file` is a path from the
/// root: Azure Pipelines reads it when the line is printed, GitHub Actions is given its content at once.
///
/// # Errors
/// When the file that `GITHUB_STEP_SUMMARY` names cannot be written to.
pub fn add_summary(system: CiSystem, env: &Env, file: &Path, text: &str) -> io::Result<Option<String>> {
    match system {
        CiSystem::Azure => Ok(Some(format!(
            "##vso[task.uploadsummary]{}",
            azure_data(&file.display().to_string())
        ))),
        CiSystem::Github => {
            let Some(summary) = env.path(place::GITHUB_STEP_SUMMARY) else {
                return Ok(None);
            };
            let text = cut(text, SUMMARY_LIMIT);
            let mut summary = OpenOptions::new().append(true).create(true).open(summary)?;
            summary.write_all(text.as_bytes()).map(|()| None)
        }
    }
}

/// A text of at most so many bytes, cut at a line.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    for line in text.split_inclusive('\n') {
        if kept.len() + line.len() + CUT.len() > limit {
            break;
        }
        kept.push_str(line);
    }
    Cow::Owned(kept + CUT)
}

/// A text as the agent undoes it.
fn azure_data(text: &str) -> String {
    text.replace('%', "%AZP25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A text as the runner undoes it.
fn github_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The command that sets an output variable of the step.
fn azure_variable(name: &str, value: &str) -> String {
    let property = azure_data(name).replace(']', "%5D").replace(';', "%3B");
    format!(
        "##vso[task.setvariable variable={property};isOutput=true]{}",
        azure_data(value)
    )
}

/// The line, or with line breaks in the value the lines up to a delimiter, that set an output.
fn github_output(name: &str, value: &str, delimiter: &str) -> String {
    if value.contains(['\n', '\r']) {
        format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
    } else {
        format!("{name}={value}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_no_command() {
        let azure = CiSystem::Azure.defused("pod said ##vso[task.complete]x, ##[error]y");
        assert!(!azure.contains("##vso[") && !azure.contains("##["), "{azure}");
        let github = CiSystem::Github.defused("a ::b\n  ::error::no\n::set-output name=x::y");
        assert_eq!(github, "a ::b\n  : :error::no\n: :set-output name=x::y");
        assert_eq!(CiSystem::Github.defused("plain ##x"), "plain ##x");
    }

    #[test]
    fn messages_and_groups_are_one_line_whatever_they_say() {
        let text = "50%\n::error::x ##vso[task.complete]";
        let azure = CiSystem::Azure.annotation(Gravity::Error, "neu-1", text);
        assert_eq!(
            azure,
            "##vso[task.logissue type=error]neu-1: 50%AZP25%0A::error::x ##vso[task.complete]"
        );
        let github = CiSystem::Github.annotation(Gravity::Warning, "a: b, c", text);
        assert_eq!(
            github,
            "::warning title=a%3A b%2C c::50%25%0A::error::x ##vso[task.complete]"
        );
        assert_eq!(CiSystem::Github.group("a\nb"), "::group::a%0Ab");
    }

    #[test]
    fn a_summary_is_added_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("summary");
        let env = Env::of([(place::GITHUB_STEP_SUMMARY, file.to_string_lossy())]);
        let added = |text: &str| add_summary(CiSystem::Github, &env, Path::new("/r.md"), text).unwrap();
        assert_eq!((added("one\n"), added("two\n")), (None, None));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\n");
        let long = cut(&"line\n".repeat(SUMMARY_LIMIT), SUMMARY_LIMIT).into_owned();
        assert!(long.len() <= SUMMARY_LIMIT && long.ends_with(CUT));
        let azure = add_summary(CiSystem::Azure, &env, Path::new("/r.md"), "").unwrap();
        assert_eq!(azure.as_deref(), Some("##vso[task.uploadsummary]/r.md"));
    }

    #[test]
    fn a_value_cannot_leave_its_output() {
        assert_eq!(
            azure_variable("id", "a%\n##vso[x]"),
            "##vso[task.setvariable variable=id;isOutput=true]a%AZP25%0A##vso[x]"
        );
        assert_eq!(
            azure_variable("a;b]c", ""),
            "##vso[task.setvariable variable=a%3Bb%5Dc;isOutput=true]"
        );
        assert_eq!(github_output("id", "x=y", "d"), "id=x=y\n");
        assert_eq!(github_output("id", "a\nother=1", "d"), "id<<d\na\nother=1\nd\n");
    }

    #[test]
    fn outputs_are_added_to_what_the_step_has_set_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("output");
        std::fs::write(&file, "before=1\n").unwrap();
        let env = Env::of([(place::GITHUB_OUTPUT, file.to_string_lossy())]);
        let outputs = StepOutputs::of(CiSystem::Github, &env).unwrap();
        let printed = outputs.set(&[("id".to_owned(), "x".to_owned())]).unwrap();
        assert!(printed.is_empty());
        assert_eq!(std::fs::read_to_string(file).unwrap(), "before=1\nid=x\n");
        assert!(StepOutputs::of(CiSystem::Github, &Env::of::<&str, &str>([])).is_err());
    }
}
