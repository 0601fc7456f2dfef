// Demo-app is the workload that the sandbox deploys: it is ready only after it has read one Key Vault
// secret through workload identity, by Azure's official SDK and without any secret of its own.
// It never writes the value: only the version and the length.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

const (
	pace           = 2 * time.Second
	attemptTimeout = 30 * time.Second
	shutdownGrace  = 2 * time.Second
)

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	if err := run(log); err != nil {
		log.Error("demo-app stopped", "error", err.Error())
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	settings, err := settingsFrom(os.Getenv)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	var ready atomic.Bool
	go func() {
		if readUntilDone(ctx, log, settings) {
			ready.Store(true)
		}
	}()
	return serve(ctx, settings.listen, &ready)
}

// readUntilDone tries until the secret was read (true) or the program is told to stop (false). The
// client is made anew for each attempt: what it needs may be injected wrongly, and it keeps no state
// that is worth carrying from a failed attempt into the next.
func readUntilDone(ctx context.Context, log *slog.Logger, settings settings) bool {
	for {
		if err := readOnce(ctx, log, settings); err == nil {
			return true
		} else {
			log.Warn("the secret could not be read yet", "secret", settings.secretName, "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pace):
		}
	}
}

func readOnce(ctx context.Context, log *slog.Logger, settings settings) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()

	// The loop around is the retry; negative means none.
	options := azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: -1}}
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions:            options,
		DisableInstanceDiscovery: settings.disableInstanceDiscovery,
	})
	if err != nil {
		return err
	}
	client, err := azsecrets.NewClient(settings.vaultURL, credential, &azsecrets.ClientOptions{
		ClientOptions:                        options,
		DisableChallengeResourceVerification: settings.disableChallengeVerification,
	})
	if err != nil {
		return err
	}
	secret, err := client.GetSecret(ctx, settings.secretName, "", nil)
	if err != nil {
		return err
	}
	if secret.ID == nil || secret.Value == nil {
		return errors.New("the vault answered without id or value")
	}
	log.Info("the secret was read", "secret", settings.secretName, "version", secret.ID.Version(), "length", len(*secret.Value))
	return nil
}

// serve answers the probes until the context ends.
func serve(ctx context.Context, listen string, ready *atomic.Bool) error {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "the secret has not been read", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	server := &http.Server{Addr: listen, Handler: routes, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		deadline, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		_ = server.Shutdown(deadline)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
