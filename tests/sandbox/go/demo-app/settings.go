package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// settings is what the program reads from its environment.
type settings struct {
	vaultURL   string
	secretName string
	listen     string
	// disableInstanceDiscovery skips the question to the public cloud whether it knows the authority.
	disableInstanceDiscovery bool
	// disableChallengeVerification accepts a vault whose host is an address: its challenge names a
	// resource of the cloud, which an address can never be below.
	disableChallengeVerification bool
}

// knownAuthorities are the hosts that the public cloud vouches for.
var knownAuthorities = map[string]bool{
	"login.microsoftonline.com":        true,
	"login.microsoft.com":              true,
	"login.microsoftonline.us":         true,
	"login.chinacloudapi.cn":           true,
	"login.partner.microsoftonline.cn": true,
	"login-us.microsoftonline.com":     true,
	"login.usgovcloudapi.net":          true,
	"login.sovcloud-identity.fr":       true,
	"login.sovcloud-identity.de":       true,
	"login.sovcloud-identity.sg":       true,
}

func settingsFrom(lookup func(string) string) (settings, error) {
	s := settings{
		vaultURL:   lookup("VAULT_URL"),
		secretName: lookup("SECRET_NAME"),
		listen:     lookup("LISTEN"),
	}
	if s.vaultURL == "" || s.secretName == "" {
		return s, errors.New("VAULT_URL and SECRET_NAME must be set")
	}
	vault, err := url.Parse(s.vaultURL)
	if err != nil {
		return s, fmt.Errorf("VAULT_URL: %w", err)
	}
	if vault.Scheme != "https" || vault.Hostname() == "" {
		return s, fmt.Errorf("VAULT_URL must be an https URL, not %q", s.vaultURL)
	}
	if s.listen == "" {
		s.listen = ":8080"
	}
	s.disableChallengeVerification = net.ParseIP(vault.Hostname()) != nil
	if text := lookup("AZURE_DISABLE_INSTANCE_DISCOVERY"); text != "" {
		if s.disableInstanceDiscovery, err = strconv.ParseBool(text); err != nil {
			return s, fmt.Errorf("AZURE_DISABLE_INSTANCE_DISCOVERY must be true or false, not %q", text)
		}
	}
	if host := authorityHost(lookup("AZURE_AUTHORITY_HOST")); host != "" && !knownAuthorities[host] {
		s.disableInstanceDiscovery = true
	}
	return s, nil
}

// authorityHost is the lower-case host of an authority written with or without scheme.
func authorityHost(authority string) string {
	if authority == "" {
		return ""
	}
	if !strings.Contains(authority, "://") {
		authority = "https://" + authority
	}
	parsed, err := url.Parse(authority)
	if err != nil {
		return ""
	}
	return strings.ToLower(parsed.Hostname())
}
