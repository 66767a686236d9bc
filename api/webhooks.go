package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
	"quartermaster/internal/webhooks"
)

// Sealer seals a secret for a purpose. The secret does not open for another purpose.
type Sealer interface {
	Seal(plaintext []byte, purpose string) ([]byte, error)
}

// CreateWebhook answers POST /v1/webhooks.
func (s *service) CreateWebhook(ctx context.Context, in server.CreateWebhookRequestObject) (server.CreateWebhookResponseObject, error) {
	who := callerOf(ctx)
	w := provision.Webhook{ID: uuid.NewString(), Provider: who.Provider, URL: in.Body.URL, EventTypes: value(in.Body.EventTypes),
		Marketplaces: value(in.Body.Marketplaces), Description: value(in.Body.Description)}
	secret, sealed, err := s.newSecret(provision.WebhookKey{Provider: w.Provider, ID: w.ID})
	if err != nil {
		return nil, err
	}
	making, err := once(ctx, in.Params.IdempotencyKey, in, w.ID)
	if err != nil {
		return nil, err
	}
	added, err := s.Webhooks.Create(making, who.Actor(), w, sealed)
	if err != nil {
		return nil, repeated(err, "made webhook %s", secretOnlyThen)
	}
	return server.CreateWebhook201JSONResponse{
		Body:    openapi.WebhookWithSecret{Webhook: resource.Webhook(added), Secret: secret},
		Headers: server.CreateWebhook201ResponseHeaders{Location: s.basePath + "/v1/webhooks/" + added.ID, ETag: etagOf(added.Version)},
	}, nil
}

func (s *service) newSecret(key provision.WebhookKey) (secret string, sealed []byte, err error) {
	secret = webhooks.NewSecret()
	sealed, err = s.Sealer.Seal([]byte(secret), provision.WebhookSecretPurpose(key))
	return secret, sealed, err
}

// webhookRules checks the URL and the marketplaces of an endpoint.
func (s *service) webhookRules(ctx context.Context, body []byte) (broken []provision.FieldError, _ error) {
	var form struct {
		URL          *string  `json:"url"`
		Marketplaces []string `json:"marketplaces"`
	}
	_ = json.Unmarshal(body, &form) // fields of another type stay empty; the document's findings cover them
	if form.URL != nil {
		if wrong := s.WebhookPolicy.CheckURL(*form.URL); wrong != "" {
			broken = append(broken, provision.FieldError{Field: "url", Message: wrong})
		}
	}
	if len(form.Marketplaces) > 0 {
		withPool, err := s.Pools.Marketplaces(ctx, callerOf(ctx).Provider)
		if err != nil {
			return nil, err
		}
		broken = append(broken, provision.ValidateMarketplaces(form.Marketplaces, withPool)...)
	}
	return broken, nil
}

// ListWebhooks answers GET /v1/webhooks.
func (s *service) ListWebhooks(ctx context.Context, in server.ListWebhooksRequestObject) (server.ListWebhooksResponseObject, error) {
	endpoints, next, err := list[provision.WebhookCursor, provision.Webhook, openapi.Webhook]{
		valid: func(c provision.WebhookCursor) bool { return plausible(c.CreatedAt) && uuid.Validate(c.ID) == nil },
		read: func(after *provision.WebhookCursor, limit int) ([]provision.Webhook, error) {
			return s.Webhooks.List(ctx, callerOf(ctx).Provider, after, limit)
		},
		show: resource.Webhook,
		place: func(w provision.Webhook) provision.WebhookCursor {
			return provision.WebhookCursor{CreatedAt: w.CreatedAt.UTC(), ID: w.ID}
		},
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListWebhooks200JSONResponse{Items: endpoints, NextCursor: next}, nil
}

// GetWebhook answers GET /v1/webhooks/{webhook_id}.
func (s *service) GetWebhook(ctx context.Context, in server.GetWebhookRequestObject) (server.GetWebhookResponseObject, error) {
	w, err := s.Webhooks.Get(ctx, webhookKey(ctx, in.WebhookID))
	if err != nil {
		return nil, webhookProblem(err, in.WebhookID)
	}
	return server.GetWebhook200JSONResponse{
		Body: resource.Webhook(w), Headers: server.GetWebhook200ResponseHeaders{ETag: etagOf(w.Version)},
	}, nil
}

// UpdateWebhook answers PATCH /v1/webhooks/{webhook_id}.
func (s *service) UpdateWebhook(ctx context.Context, in server.UpdateWebhookRequestObject) (server.UpdateWebhookResponseObject, error) {
	match, err := requiredCondition("webhook", in.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	edit := provision.WebhookUpdate{URL: in.Body.URL, EventTypes: in.Body.EventTypes, Description: in.Body.Description,
		Enabled: in.Body.Enabled, Reason: value(in.Body.Reason)}
	if in.Body.Marketplaces.IsSpecified() {
		edit.Marketplaces = new(orZero(in.Body.Marketplaces))
	}
	var w provision.Webhook
	err = match.try(func(version int64) (err error) {
		w, err = s.Webhooks.Update(ctx, callerOf(ctx).Actor(), webhookKey(ctx, in.WebhookID), version, edit)
		return err
	})
	if err != nil {
		return nil, webhookProblem(err, in.WebhookID)
	}
	if w.Enabled {
		s.wakeWebhooks(ctx)
	}
	return server.UpdateWebhook200JSONResponse{
		Body: resource.Webhook(w), Headers: server.UpdateWebhook200ResponseHeaders{ETag: etagOf(w.Version)},
	}, nil
}

// DeleteWebhook answers DELETE /v1/webhooks/{webhook_id}.
func (s *service) DeleteWebhook(ctx context.Context, in server.DeleteWebhookRequestObject) (server.DeleteWebhookResponseObject, error) {
	match, err := requiredCondition("webhook", in.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	err = match.try(func(version int64) error {
		return s.Webhooks.Delete(ctx, callerOf(ctx).Actor(), webhookKey(ctx, in.WebhookID), version, value(in.Params.Reason))
	})
	if err != nil {
		return nil, webhookProblem(err, in.WebhookID)
	}
	return server.DeleteWebhook204Response{}, nil
}

// RotateWebhookSecret answers POST /v1/webhooks/{webhook_id}/rotate-secret.
func (s *service) RotateWebhookSecret(
	ctx context.Context, in server.RotateWebhookSecretRequestObject,
) (server.RotateWebhookSecretResponseObject, error) {
	making, err := once(ctx, in.Params.IdempotencyKey, in, in.WebhookID)
	if err != nil {
		return nil, err
	}
	answer, err := s.rotate(making, webhookKey(ctx, in.WebhookID), in.Body)
	return server.RotateWebhookSecret200JSONResponse(answer), repeated(err, "replaced the secret of webhook %s", secretOnlyThen)
}

// secretOnlyThen says how to get the secret of webhooks whose first answer was lost.
const secretOnlyThen = "and only the answer to that request had the secret: if you do not have it, " +
	"rotate the secret with another Idempotency-Key"

func (s *service) rotate(
	ctx context.Context, key provision.WebhookKey, form *openapi.SecretRotation,
) (answer openapi.WebhookSecret, err error) {
	overlap := provision.WebhookOverlap
	if form != nil && form.OverlapSeconds != nil {
		overlap = time.Duration(*form.OverlapSeconds) * time.Second
	}
	secret, sealed, err := s.newSecret(key)
	if err != nil {
		return answer, err
	}
	until, err := s.Webhooks.RotateSecret(ctx, callerOf(ctx).Actor(), key, sealed, overlap)
	if err != nil {
		return answer, webhookProblem(err, key.ID)
	}
	return openapi.WebhookSecret{Secret: secret, OlderSignsUntil: resource.UTC(until)}, nil
}

// GetCallbackSecret answers GET /v1/callback-secret.
func (s *service) GetCallbackSecret(
	ctx context.Context, _ server.GetCallbackSecretRequestObject,
) (server.GetCallbackSecretResponseObject, error) {
	view, err := s.Webhooks.CallbackSecret(ctx, callerOf(ctx).Provider)
	if err != nil {
		return nil, err
	}
	return server.GetCallbackSecret200JSONResponse{Exists: view.CreatedAt != nil, CreatedAt: resource.UTC(view.CreatedAt),
		OlderSignsUntil: resource.UTC(view.OlderExpires), Held: int(view.Held)}, nil
}

// RotateCallbackSecret answers POST /v1/callback-secret/rotate.
func (s *service) RotateCallbackSecret(
	ctx context.Context, in server.RotateCallbackSecretRequestObject,
) (server.RotateCallbackSecretResponseObject, error) {
	provider := callerOf(ctx).Provider
	before, err := s.Webhooks.CallbackSecret(ctx, provider)
	if err != nil {
		return nil, err
	}
	making, err := once(ctx, in.Params.IdempotencyKey, in, provision.WebhookCallbacks)
	if err != nil {
		return nil, err
	}
	answer, err := s.rotate(making, provision.WebhookKey{Provider: provider, ID: provision.WebhookCallbacks}, in.Body)
	if err != nil {
		return nil, repeated(err, "replaced the secret of all %s", secretOnlyThen)
	}
	if before.CreatedAt == nil { // callbacks that waited for the first secret can be sent
		s.wakeWebhooks(ctx)
	}
	return server.RotateCallbackSecret200JSONResponse(answer), nil
}

// TestWebhook answers POST /v1/webhooks/{webhook_id}/test.
func (s *service) TestWebhook(ctx context.Context, in server.TestWebhookRequestObject) (server.TestWebhookResponseObject, error) {
	d, err := s.Webhooks.Test(ctx, callerOf(ctx).Actor(), webhookKey(ctx, in.WebhookID))
	if err != nil {
		return nil, webhookProblem(err, in.WebhookID)
	}
	s.wakeWebhooks(ctx)
	return server.TestWebhook202JSONResponse(resource.Delivery(d)), nil
}

// ReplayWebhook answers POST /v1/webhooks/{webhook_id}/replay.
func (s *service) ReplayWebhook(ctx context.Context, in server.ReplayWebhookRequestObject) (server.ReplayWebhookResponseObject, error) {
	key := webhookKey(ctx, in.WebhookID)
	if err := s.Deliveries.Replay(ctx, callerOf(ctx).Actor(), key, in.Body.Since); err != nil {
		return nil, webhookProblem(err, in.WebhookID)
	}
	w, err := s.Webhooks.Get(ctx, key)
	if err != nil {
		return nil, webhookProblem(err, in.WebhookID)
	}
	s.wakeWebhooks(ctx)
	return server.ReplayWebhook202JSONResponse(resource.Webhook(w)), nil
}

// wakeWebhooks is a hint: the schedule finds what is due within a minute.
func (s *service) wakeWebhooks(ctx context.Context) {
	provider := callerOf(ctx).Provider
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wakeTimeout)
	defer cancel()
	due, err := s.Deliveries.DueWebhooks(ctx, provider)
	if err == nil && len(due) > 0 {
		err = s.Workflows.WakeWebhooks(ctx, due)
	}
	if err != nil {
		s.Log.WarnContext(ctx, "could not wake webhooks; the schedule wakes them within a minute", "error", err)
	}
}

func webhookKey(ctx context.Context, id string) provision.WebhookKey {
	return provision.WebhookKey{Provider: callerOf(ctx).Provider, ID: id}
}

// webhookProblem turns an error about an endpoint into what the caller is told.
func webhookProblem(err error, id string) error {
	switch {
	case errors.Is(err, provision.ErrStale):
		return stale("webhook "+id, err)
	case errors.Is(err, provision.ErrNotFound):
		return notFound("webhook "+id, err)
	}
	return err
}
