//! The probe's entry: input from the environment, one line of JSON to standard output and to the termination
//! message.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use wi_probe::record::{
    AUTHORITY_HOST, CLIENT_ID, Environment, INPUT_VARIABLE, ProbeInput, ProbeRecord, TENANT_ID,
    TERMINATION_MESSAGE_LIMIT, TOKEN_FILE,
};
use wi_probe::{TokenSource, probe, transport};

/// Where a kubelet picks up a container's last words.
const TERMINATION_LOG: &str = "/dev/termination-log";

fn main() -> ExitCode {
    match run() {
        Ok(record) => tell(&record),
        Err(message) => {
            // Nothing of the input is repeated: only what is wrong with it.
            let _ = writeln!(std::io::stderr(), "wi-probe: {message}");
            ExitCode::from(64)
        }
    }
}

fn run() -> Result<ProbeRecord, String> {
    let given = std::env::args().nth(1).or_else(|| variable(INPUT_VARIABLE));
    let given =
        given.ok_or_else(|| format!("no input: give it as the first argument or in {INPUT_VARIABLE}"))?;
    let input: ProbeInput = serde_json::from_str(&given)
        .map_err(|error| format!("the input is not what it should be: {error}"))?;
    let environment = Environment {
        client_id: variable(CLIENT_ID),
        tenant_id: variable(TENANT_ID),
        authority: variable(AUTHORITY_HOST),
        token_file: variable(TOKEN_FILE),
    };
    let source = environment
        .token_file
        .as_ref()
        .map(|path| TokenSource::File(path.into()));
    let http = transport::client(
        input.ca_pem.as_deref(),
        Duration::from_secs(input.request_seconds.max(1)),
    )
    .map_err(|error| transport::describe(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    Ok(runtime.block_on(probe(&http, &input, &environment, source)))
}

/// Prints the record. The exit code says whether all went well; the record says what did not.
fn tell(record: &ProbeRecord) -> ExitCode {
    let Ok(line) = serde_json::to_string(record) else {
        return ExitCode::from(64);
    };
    let printed = writeln!(std::io::stdout(), "{line}");
    // A longer text would be cut in the middle and be no JSON; then the log has to do.
    if line.len() <= TERMINATION_MESSAGE_LIMIT
        && let Ok(mut file) = std::fs::OpenOptions::new().write(true).open(TERMINATION_LOG)
    {
        let _ = file.write_all(line.as_bytes());
    }
    match (printed, record.is_good()) {
        (Ok(()), true) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
