package main

import "testing"

func from(pairs map[string]string) func(string) string {
	return func(name string) string { return pairs[name] }
}

func TestSettingsOfAPublicCloud(t *testing.T) {
	got, err := settingsFrom(from(map[string]string{
		"VAULT_URL":            "https://kv-central.vault.azure.net/",
		"SECRET_NAME":          "db-password",
		"AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := settings{vaultURL: "https://kv-central.vault.azure.net/", secretName: "db-password", listen: ":8080"}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestACustomAuthorityAndAnAddressRelaxTheChecksThatCannotHold(t *testing.T) {
	got, err := settingsFrom(from(map[string]string{
		"VAULT_URL":            "https://10.1.2.3/",
		"SECRET_NAME":          "db-password",
		"AZURE_AUTHORITY_HOST": "https://10.1.2.4/",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if !got.disableInstanceDiscovery || !got.disableChallengeVerification {
		t.Errorf("both must be off: %+v", got)
	}
}

func TestInstanceDiscoveryCanBeSwitchedOffByName(t *testing.T) {
	environment := map[string]string{
		"VAULT_URL": "https://v.example/", "SECRET_NAME": "s", "AZURE_DISABLE_INSTANCE_DISCOVERY": "true",
	}
	got, err := settingsFrom(from(environment))
	if err != nil {
		t.Fatal(err)
	}
	if !got.disableInstanceDiscovery || got.disableChallengeVerification {
		t.Errorf("only the instance discovery must be off: %+v", got)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, environment := range map[string]map[string]string{
		"nothing set":   {},
		"no secret":     {"VAULT_URL": "https://v.example/"},
		"plain http":    {"VAULT_URL": "http://v.example/", "SECRET_NAME": "s"},
		"no host":       {"VAULT_URL": "https:///x", "SECRET_NAME": "s"},
		"not a boolean": {"VAULT_URL": "https://v.example/", "SECRET_NAME": "s", "AZURE_DISABLE_INSTANCE_DISCOVERY": "maybe"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := settingsFrom(from(environment)); err == nil {
				t.Errorf("accepted as %+v", got)
			}
		})
	}
}
