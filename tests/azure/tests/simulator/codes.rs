//! Every code by which Entra refuses, with its cause and the test that reaches it by that cause.

use std::collections::BTreeSet;

use crate::{assertions, certificates, clients, entra, outages};

/// Code, cause, test. That the tests are named here keeps them from being lost.
macro_rules! reached {
    ($($code:literal $cause:literal $test:path;)*) => {
        const REACHED: &[(u32, &str, &str, fn())] = &[$(($code, $cause, stringify!($test), $test)),*];
    };
}

reached! {
    50_027 "the assertion is no token" assertions::aadsts50027_what_is_no_token;
    50_049 "no such cloud" clients::aadsts900561_50049_endpoints_that_are_asked_in_a_wrong_way;
    50_166 "the issuer answers another status" assertions::aadsts50166_501661_an_issuer_that_answers_something_else;
    53_003 "a place that a policy does not allow" clients::aadsts53003_a_client_at_a_place_that_a_policy_does_not_allow;
    70_003 "a grant that is not served" entra::aadsts7000215_70003_7000112_bad_clients;
    70_022 "an issuer on loopback" assertions::aadsts70022_a_loopback_issuer;
    70_023 "a lifetime above a day" assertions::aadsts70023_a_lifetime_above_a_day;
    70_024 "a discovery document without a field" outages::aadsts70024_a_document_without_the_address_of_its_keys;
    70_025 "no federated credential" assertions::aadsts70025_an_identity_without_credentials;
    90_002 "no such tenant" entra::aadsts90002_900021_900023_no_such_tenant;
    90_014 "an assertion without a field" clients::aadsts90014_an_assertion_without_a_field;
    90_023 "an assertion of another kind" clients::aadsts90023_an_assertion_of_another_kind;
    90_038 "a tenant of another cloud" clients::aadsts900382_90038_a_tenant_of_another_cloud;
    90_061 "the issuer cannot be reached or trusted" assertions::aadsts90061_an_issuer_that_does_not_answer_or_cannot_be_trusted;
    500_011 "a resource that the tenant does not know" entra::aadsts500011_1002012_a_scope_of_another_cloud_and_one_that_is_none;
    501_661 "the issuer answers no JSON" assertions::aadsts50166_501661_an_issuer_that_answers_something_else;
    700_016 "no such client in the tenant" entra::aadsts700016_no_such_client_or_another_tenant;
    700_021 "an assertion of another client" outages::aadsts700021_an_assertion_that_the_client_made_for_somebody_else;
    700_023 "an assertion for another endpoint" certificates::aadsts700023_an_assertion_for_another_endpoint;
    700_024 "not the time of the assertion" assertions::aadsts700024_outside_its_time;
    700_027 "a key that did not sign" assertions::aadsts700027_a_forged_signature;
    700_027 "a certificate that is unknown or ended" certificates::aadsts700027_a_certificate_that_is_not_registered_or_has_ended_or_did_not_sign;
    700_211 "another issuer" assertions::aadsts700211_another_issuer_by_a_slash;
    700_212 "another audience" assertions::aadsts700212_another_audience;
    700_213 "another subject" assertions::aadsts700213_another_subject;
    700_221 "a discovery document of another issuer" assertions::aadsts700221_a_document_that_names_another_issuer;
    700_222 "an access token of Entra" assertions::aadsts700222_a_token_of_entra_itself;
    700_231 "a token that came by a federated credential" clients::aadsts700231_a_token_that_came_by_a_federated_credential_itself;
    700_236 "an identity of another tenant" clients::aadsts700236_a_token_of_another_tenants_identity;
    900_021 "a tenant of zeros" entra::aadsts90002_900021_900023_no_such_tenant;
    900_023 "a tenant that is no id" entra::aadsts90002_900021_900023_no_such_tenant;
    900_144 "a form without a field" entra::aadsts900144_each_missing_parameter;
    900_382 "a tenant of another cloud, with proof" clients::aadsts900382_90038_a_tenant_of_another_cloud;
    900_561 "a GET" clients::aadsts900561_50049_endpoints_that_are_asked_in_a_wrong_way;
    1_002_012 "a scope that names no resource" entra::aadsts500011_1002012_a_scope_of_another_cloud_and_one_that_is_none;
    5_002_723 "a header that names no certificate" certificates::aadsts5002723_a_header_that_names_no_certificate;
    7_000_112 "disabled by its owner" entra::aadsts7000215_70003_7000112_bad_clients;
    7_000_116 "disabled in the tenant" clients::aadsts7000116_a_client_that_the_tenant_disabled;
    7_000_215 "a wrong secret" entra::aadsts7000215_70003_7000112_bad_clients;
    7_000_216 "no proof" clients::aadsts7000216_a_client_without_any_proof;
    7_000_218 "another grant without proof" clients::aadsts7000218_another_grant_without_any_proof;
    7_000_222 "a secret that ended" clients::aadsts7000222_a_secret_that_ended;
    7_000_272 "a key that is not published" assertions::aadsts7000272_a_key_that_is_not_published_any_more;
    7_002_138 "a subject in another case" assertions::aadsts7002138_a_subject_that_differs_by_case;
}

/// Codes of this flow that users report and that nothing here leads to, and why.
const NOT_SERVED: &[(u32, &str)] = &[
    (
        50_196,
        "too many equal requests of one client; the limit is not documented",
    ),
    (70_011, "the code for a bad scope at the older endpoint"),
    (70_021, "what 700211, 700212 and 700213 tell apart since 2023"),
    (
        90_024,
        "throttling by Entra, whose budgets are not documented; a fault may be told to give it",
    ),
    (
        90_033,
        "a failure within Entra: nothing that a client does leads to it",
    ),
    (
        90_055,
        "throttling by Entra, whose budgets are not documented; what a fault with status 429 gives",
    ),
    (
        700_223,
        "a policy of the tenant on issuers; its text is not documented",
    ),
    (
        700_238,
        "a policy of the tenant on issuers; its text is not documented",
    ),
    (
        7_002_137,
        "credentials with expressions in the place of a subject",
    ),
];

/// The codes that Entra's source gives.
fn codes() -> BTreeSet<u32> {
    let source = include_str!("../../src/entra/error.rs");
    let (_, from) = source.split_once("fn code(").unwrap();
    let (body, _) = from.split_once("\n    }\n").unwrap();
    let numbers = body.split("=> ").skip(1).map(|rest| {
        let digits: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '_')
            .collect();
        digits.replace('_', "").parse().unwrap()
    });
    numbers.collect()
}

#[test]
fn every_refusal_is_reached_by_its_cause() {
    let reached: BTreeSet<u32> = REACHED.iter().map(|(code, ..)| *code).collect();
    let within = BTreeSet::from([90_033]);
    let codes = codes();
    assert!(codes.len() > 40, "{codes:?}");
    assert_eq!(
        codes.difference(&within).copied().collect::<BTreeSet<_>>(),
        reached
    );
    for (code, cause, test, _) in REACHED {
        assert!(test.contains(&code.to_string()), "{code}, {cause}: {test}");
    }
    for (code, why) in NOT_SERVED {
        assert!(!reached.contains(code), "{code} is reached: {why}");
    }
}
