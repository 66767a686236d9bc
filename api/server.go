package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi/server"
)

// Handler serves every route of the API.
type Handler struct {
	http.Handler
	clientAddress echo.IPExtractor
}

// New builds the handler of the API. It fails when the configuration is incomplete, or when the routes and the OpenAPI
// document disagree.
func New(cfg Config) (*Handler, error) {
	s, err := newService(cfg)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	handler, err := s.routes()
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	return &Handler{handler, clientAddress(cfg.TrustedProxies)}, nil
}

func (s *service) routes() (_ http.Handler, err error) {
	about, err := ourPages()
	if err != nil {
		return nil, err
	}
	e := s.echo()
	if s.Metrics != nil {
		measured, err := s.measure()
		if err != nil {
			return nil, fmt.Errorf("api: metrics: %w", err)
		}
		e.Pre(measured)
	}
	add := func(method, path string, handler echo.HandlerFunc, with ...echo.MiddlewareFunc) {
		e.Add(method, path, handler, with...)
		if method == http.MethodGet {
			e.Add(http.MethodHead, path, handler, append(with, withoutBody)...)
		}
	}
	op := server.ServerInterfaceWrapper{Handler: server.NewStrictHandler(s, nil)}
	v1 := func(method, path string, handler echo.HandlerFunc) {
		operation := s.contract.claim(method, path)
		if operation == nil {
			err = errors.Join(err, fmt.Errorf("route %s %s is not in openapi.yaml", method, path))
			return
		}
		add(method, path, handler, s.authenticate(operation), s.limit(operation), s.authorize(operation),
			s.checkRequest(operation), operation.conditional)
	}

	v1(http.MethodPost, "/v1/orders", op.CreateOrder)
	v1(http.MethodGet, "/v1/orders", op.ListOrders)
	v1(http.MethodPost, "/v1/orders/validate", op.ValidateOrder)
	v1(http.MethodGet, "/v1/order-form", op.GetOrderForm)
	v1(http.MethodGet, "/v1/order-counts", op.CountOrders)
	v1(http.MethodGet, "/v1/orders/:order_id", op.GetOrder)
	v1(http.MethodGet, "/v1/orders/:order_id/history", op.ListOrderHistory)
	v1(http.MethodPatch, "/v1/orders/:order_id", op.CorrectOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/cancel", op.CancelOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/retry", op.RetryOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/fail", op.FailOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/end-undo", op.EndUndo)
	v1(http.MethodPost, "/v1/orders/:order_id/swap", op.SwapOrder)
	v1(http.MethodPost, "/v1/orders/:order_id/password", op.IssuePassword)
	v1(http.MethodPut, "/v1/orders/:order_id/manual-steps/:number", op.TickManualStep)
	v1(http.MethodPost, "/v1/accounts", op.CreateAccount)
	v1(http.MethodGet, "/v1/accounts", op.ListAccounts)
	v1(http.MethodGet, "/v1/accounts/counts", op.CountAccounts)
	v1(http.MethodGet, "/v1/accounts/export", op.ExportAccounts)
	v1(http.MethodGet, "/v1/accounts/:account_id", op.GetAccount)
	v1(http.MethodPatch, "/v1/accounts/:account_id", op.UpdateAccount)
	v1(http.MethodDelete, "/v1/accounts/:account_id", op.DeleteAccount)
	v1(http.MethodPost, "/v1/accounts/:account_id/invalidate", op.InvalidateAccount)
	v1(http.MethodPost, "/v1/accounts/:account_id/return", op.ReturnAccount)
	v1(http.MethodPost, "/v1/accounts/:account_id/remove-leftovers", op.RemoveLeftovers)
	v1(http.MethodPost, "/v1/accounts/:account_id/verify", op.VerifyAccount)
	v1(http.MethodGet, "/v1/accounts/:account_id/checks", op.ListAccountChecks)
	v1(http.MethodGet, "/v1/accounts/:account_id/changes", op.ListAccountChanges)
	v1(http.MethodGet, "/v1/accounts/:account_id/role", op.GetAccountRole)
	v1(http.MethodGet, "/v1/accounts/:account_id/history", op.ListAccountHistory)
	v1(http.MethodGet, "/v1/api-keys", op.ListAPIKeys)
	v1(http.MethodPost, "/v1/api-keys", op.CreateAPIKey)
	v1(http.MethodGet, "/v1/api-keys/:key_id", op.GetAPIKey)
	v1(http.MethodPost, "/v1/api-keys/:key_id/rotate", op.RotateAPIKey)
	v1(http.MethodPost, "/v1/api-keys/:key_id/revoke", op.RevokeAPIKey)
	v1(http.MethodGet, "/v1/pools", op.ListPools)
	v1(http.MethodPost, "/v1/pools", op.CreatePool)
	v1(http.MethodGet, "/v1/pools/:marketplace/:environment", op.GetPool)
	v1(http.MethodPatch, "/v1/pools/:marketplace/:environment", op.UpdatePool)
	v1(http.MethodGet, "/v1/pools/:marketplace/:environment/history", op.ListPoolHistory)
	v1(http.MethodGet, "/v1/protected-accounts", op.ListProtectedAccounts)
	v1(http.MethodPut, "/v1/protected-accounts/:account_id", op.ProtectAccount)
	v1(http.MethodDelete, "/v1/protected-accounts/:account_id", op.UnprotectAccount)
	v1(http.MethodGet, "/v1/stock", op.GetStock)
	v1(http.MethodGet, "/v1/stock/history", op.GetStockHistory)
	v1(http.MethodGet, "/v1/stock-alerts", op.ListStockAlerts)
	v1(http.MethodPost, "/v1/stock-alerts/:alert_id/acknowledge", op.AcknowledgeStockAlert)
	v1(http.MethodPost, "/v1/webhooks", op.CreateWebhook)
	v1(http.MethodGet, "/v1/webhooks", op.ListWebhooks)
	v1(http.MethodGet, "/v1/webhooks/:webhook_id", op.GetWebhook)
	v1(http.MethodPatch, "/v1/webhooks/:webhook_id", op.UpdateWebhook)
	v1(http.MethodDelete, "/v1/webhooks/:webhook_id", op.DeleteWebhook)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/rotate-secret", op.RotateWebhookSecret)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/test", op.TestWebhook)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/replay", op.ReplayWebhook)
	v1(http.MethodGet, "/v1/webhooks/:webhook_id/deliveries", op.ListDeliveries)
	v1(http.MethodGet, "/v1/webhooks/:webhook_id/deliveries/:delivery_id", op.GetDelivery)
	v1(http.MethodPost, "/v1/webhooks/:webhook_id/deliveries/:delivery_id/resend", op.ResendDelivery)
	v1(http.MethodGet, "/v1/callback-secret", op.GetCallbackSecret)
	v1(http.MethodPost, "/v1/callback-secret/rotate", op.RotateCallbackSecret)
	v1(http.MethodGet, "/v1/events", op.ListEvents)
	v1(http.MethodGet, streamPath, op.StreamEvents)
	v1(http.MethodGet, "/v1/health", op.GetHealth)
	v1(http.MethodGet, "/v1/me", op.GetMe)
	v1(http.MethodGet, "/v1/sessions", op.ListSessions)
	v1(http.MethodPost, "/v1/sessions/end", op.EndSessions)
	v1(http.MethodGet, "/v1/history", op.ListHistory)
	v1(http.MethodGet, "/v1/history/export", op.ExportHistory)
	v1(http.MethodGet, "/v1/roles", op.ListRoles)
	v1(http.MethodGet, "/v1/saved-filters", op.ListSavedFilters)
	v1(http.MethodPut, "/v1/saved-filters/:name", op.SaveFilter)
	v1(http.MethodDelete, "/v1/saved-filters/:name", op.DeleteSavedFilter)
	v1(http.MethodPost, "/v1/account-imports", op.ImportAccounts)
	v1(http.MethodGet, "/v1/account-imports", op.ListAccountImports)
	v1(http.MethodGet, "/v1/account-imports/template", op.GetAccountImportTemplate)
	v1(http.MethodGet, "/v1/account-imports/:import_id", op.GetAccountImport)
	v1(http.MethodGet, "/v1/account-imports/:import_id/results", op.ListAccountImportResults)
	v1(http.MethodPost, "/v1/batches", op.CreateBatch)
	v1(http.MethodGet, "/v1/batches", op.ListBatches)
	v1(http.MethodPost, "/v1/batches/preview", op.PreviewBatch)
	v1(http.MethodGet, "/v1/batches/:batch_id", op.GetBatch)
	v1(http.MethodPost, "/v1/batches/:batch_id/stop", op.StopBatch)
	v1(http.MethodGet, "/v1/batches/:batch_id/results", op.ListBatchResults)
	v1(http.MethodPost, "/v1/password-reveals", op.RevealPassword)
	v1(http.MethodGet, "/v1/openapi.json", about.document.serve)
	add(http.MethodGet, "/docs", about.reference.serveReference, conditional)
	add(http.MethodGet, "/docs/reference.css", about.style.serve, conditional)

	add(http.MethodGet, "/reveal", revealPage("index.html"))
	add(http.MethodGet, "/reveal/reveal.js", revealPage("reveal.js"))
	add(http.MethodGet, "/reveal/reveal.css", revealPage("reveal.css"))

	add(http.MethodGet, "/livez", s.live)
	add(http.MethodGet, "/readyz", s.ready)

	if missing := s.contract.unclaimed(); len(missing) > 0 {
		err = errors.Join(err, fmt.Errorf("openapi.yaml has operations without a route: %s", strings.Join(missing, ", ")))
	}
	return e, err
}
