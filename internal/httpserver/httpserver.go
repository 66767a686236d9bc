package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	writeTimeout      = 30 * time.Second // longer than the API's limit of a request, so that its error is still written
	idleTimeout       = 2 * time.Minute
	shutdownTimeout   = 20 * time.Second // longer than the API's limit of a request, so that running requests finish
	maxHeaderBytes    = 16 << 10
)

// Server is one HTTP server of a process.
type Server struct {
	Name    string // for the log and for errors, such as "API"
	Address string // host:port to listen on
	Handler http.Handler
}

// Start listens on the server's address and serves in the group until ctx ends. It returns an error at once when it cannot
// listen there; what goes wrong later ends the group.
func (s Server) Start(ctx context.Context, group *errgroup.Group, log *slog.Logger) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	log.InfoContext(ctx, "serving", "what", s.Name, "address", listener.Addr().String())
	group.Go(func() error { return Serve(ctx, listener, s.Handler, log) })
	return nil
}

// Serve serves on the listener until ctx ends, then lets running requests finish and returns nil. It returns an error when
// serving fails, or when requests still run 20 seconds after ctx ended.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	stop := make(chan struct{})
	server := &http.Server{
		Handler: handler,
		BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.WithoutCancel(ctx), stoppingKey{}, stop)
		},
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(func() { close(stop) })
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving HTTP on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return errors.Join(fmt.Errorf("HTTP requests still ran %s after the server was stopped: %w", shutdownTimeout, err), server.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP on %s: %w", listener.Addr(), err)
	}
	return nil
}

type stoppingKey struct{}

// Stopping returns a channel that is closed when the server that handles the request with this context stops. Handlers that
// stream without end must watch it. The channel is nil, and so never closed, when Serve does not handle the request.
func Stopping(ctx context.Context) <-chan struct{} {
	stop, _ := ctx.Value(stoppingKey{}).(chan struct{})
	return stop
}
