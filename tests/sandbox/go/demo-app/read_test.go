package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	tenant = "11111111-2222-3333-4444-555555555555"
	value  = "never-to-be-logged"
)

// cloud answers as the authority and as the vault, on one address as a sandbox's cloud does.
func cloud(t *testing.T, refusal string) *httptest.Server {
	t.Helper()
	var server *httptest.Server
	routes := http.NewServeMux()
	routes.HandleFunc("GET /"+tenant+"/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{
			"issuer":                 server.URL + "/" + tenant + "/v2.0",
			"authorization_endpoint": server.URL + "/" + tenant + "/oauth2/v2.0/authorize",
			"token_endpoint":         server.URL + "/" + tenant + "/oauth2/v2.0/token",
		})
	})
	routes.HandleFunc("POST /"+tenant+"/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		if refusal != "" {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": refusal})
			return
		}
		if r.FormValue("client_assertion") != "the-token" {
			t.Errorf("the projected token was not sent")
		}
		answer(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": "t"})
	})
	routes.HandleFunc("GET /secrets/db-password/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Bearer authorization="`+server.URL+"/"+tenant+
				`", resource="https://vault.azure.net"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer(w, http.StatusOK, map[string]any{"value": value, "id": server.URL + "/secrets/db-password/0123abcd"})
	})
	routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("unexpected request: %s %s", r.Method, r.URL)
		http.NotFound(w, r)
	})
	server = httptest.NewTLSServer(routes)
	t.Cleanup(server.Close)
	return server
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// TestMain trusts the test server's certificate in the way a pod trusts its cloud's.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		directory, err := os.MkdirTemp("", "demo-app")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(directory)
		server := httptest.NewTLSServer(http.NotFoundHandler())
		roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
		server.Close()
		write(directory, "roots.pem", roots)
		write(directory, "token", []byte("the-token"))
		os.Setenv("SSL_CERT_FILE", filepath.Join(directory, "roots.pem"))
		os.Setenv("AZURE_FEDERATED_TOKEN_FILE", filepath.Join(directory, "token"))
		os.Setenv("AZURE_CLIENT_ID", "66666666-7777-8888-9999-000000000000")
		os.Setenv("AZURE_TENANT_ID", tenant)
		return m.Run()
	}())
}

func write(directory, name string, content []byte) {
	if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
		panic(err)
	}
}

func settingsOf(t *testing.T, server *httptest.Server) settings {
	t.Helper()
	t.Setenv("AZURE_AUTHORITY_HOST", server.URL+"/")
	t.Setenv("VAULT_URL", server.URL)
	t.Setenv("SECRET_NAME", "db-password")
	got, err := settingsFrom(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheSecretIsReadThroughACustomCloudAndItsValueIsNotLogged(t *testing.T) {
	settings := settingsOf(t, cloud(t, ""))
	var lines bytes.Buffer
	if !readUntilDone(t.Context(), slog.New(slog.NewJSONHandler(&lines, nil)), settings) {
		t.Fatal("the secret was not read")
	}
	if got := lines.String(); !strings.Contains(got, `"version":"0123abcd"`) || strings.Contains(got, value) {
		t.Errorf("logged: %s", got)
	}
}

func TestARefusalIsReportedWithItsCode(t *testing.T) {
	settings := settingsOf(t, cloud(t, "AADSTS700213: No matching federated identity record found"))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := readOnce(ctx, slog.New(slog.NewJSONHandler(io.Discard, nil)), settings)
	if err == nil || !strings.Contains(err.Error(), "AADSTS700213") {
		t.Errorf("got %v", err)
	}
}
