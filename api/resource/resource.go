package resource

import (
	"maps"
	"slices"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// Account returns an account as the API answers it.
func Account(a provision.Account) openapi.Account {
	return openapi.Account{
		ID:          a.ID,
		Marketplace: a.Marketplace,
		Environment: a.Environment,
		Model:       a.Model,
		Name:        a.Name,
		RootEmail:   a.RootEmail,
		RoleARN:     a.RoleARN,
		ExternalID:  a.ExternalID,
		AddedAt:     a.AddedAt.UTC(),
		Status:      a.Status,
		StatusLabel: a.Status.Label(),
		StatusSince: a.StatusSince.UTC(),
		OrderID:     Optional(a.OrderID),
		Reason:      Optional(a.Reason),

		ReadyWhenVerified: a.ReadyWhenVerified,
		VerifiedAt:        UTC(a.VerifiedAt),
		VerifyAt:          UTC(a.VerifyAt),
		RemovingSince:     UTC(a.RemovingSince),
		Finding:           Optional(a.Finding),
	}
}

// Pool returns a pool with its settings and warnings as the API answers it.
func Pool(c provision.PoolConfig) openapi.Pool {
	s := c.Settings
	p := openapi.Pool{
		Marketplace:             c.Marketplace,
		Environment:             c.Environment,
		CreatedAt:               c.CreatedAt.UTC(),
		AlternateContactTypes:   append(openapi.AlternateContactTypes{}, s.AlternateContactTypes...),
		ReportKind:              s.ReportKind,
		ReportRegion:            s.ReportRegion,
		ReportPrefix:            s.ReportPrefix,
		UserPolicyArns:          append(openapi.UserPolicies{}, s.UserPolicyARNs...),
		PermissionsBoundaryARN:  Optional(s.PermissionsBoundary),
		OnFailure:               string(s.OnFailure),
		WaitDeadlineSeconds:     Optional(int(s.WaitDeadline.Seconds())),
		ActionDeadlineSeconds:   int(s.ActionDeadline.Seconds()),
		ProvideRootUser:         s.ProvideRootUser,
		Instructions:            openapi.Instructions{},
		StockThreshold:          c.StockThreshold,
		ModelThresholds:         openapi.ModelThresholds{},
		RenotifySeconds:         int(c.RenotifyEvery.Seconds()),
		VerificationSuspendedAt: UTC(c.SuspendedAt),
		ClaimsSuspendedAt:       UTC(c.ClaimsSuspendedAt),
		ClaimsSuspendedBecause:  Optional(c.ClaimsSuspendedBecause),
		Warnings:                OptionalSlice(c.Warnings()),
	}
	for _, model := range slices.Sorted(maps.Keys(s.Instructions)) {
		p.Instructions = append(p.Instructions, openapi.InstructionsOfModel{Model: model, Text: s.Instructions[model]})
	}
	for _, model := range slices.Sorted(maps.Keys(c.ModelThresholds)) {
		p.ModelThresholds = append(p.ModelThresholds, openapi.ModelThreshold{Model: model, Threshold: c.ModelThresholds[model]})
	}
	return p
}

// APIKey returns an API key, without its secret, as the API answers it.
func APIKey(k provision.APIKey) openapi.APIKey {
	return openapi.APIKey{
		ID:                k.ID,
		Name:              k.Name,
		Role:              k.Role,
		Scopes:            k.Grant().Rights(),
		Marketplaces:      OptionalSlice(k.Marketplaces),
		RequestsPerSecond: k.RateLimit,
		CreatedAt:         k.CreatedAt.UTC(),
		CreatedBy:         Optional(k.CreatedBy),
		ExpiresAt:         UTC(k.ExpiresAt),
		RevokedAt:         UTC(k.RevokedAt),
		LastUsedAt:        UTC(k.LastUsedAt),
		ReplacedBy:        Optional(k.ReplacedBy),
	}
}

// PoolStock returns the stock of a pool as the API answers it.
func PoolStock(p provision.PoolStock) openapi.PoolStock {
	stock := openapi.PoolStock{
		Marketplace:            p.Marketplace,
		Environment:            p.Environment,
		Ready:                  p.Ready,
		InProgress:             p.InProgress,
		Allocated:              p.Allocated,
		Failed:                 p.Failed,
		Invalid:                p.Invalid,
		WaitingForVerification: p.WaitingForVerification,
		OrdersWaiting:          p.OrdersWaiting,
		Threshold:              p.Threshold,
		Forecast:               forecast(p.Forecast),
		Models:                 make([]openapi.ModelStock, len(p.Models)),
		ClaimsSuspendedAt:      UTC(p.ClaimsSuspendedAt),
		ClaimsSuspendedBecause: Optional(p.ClaimsSuspendedBecause),
	}
	for i, m := range p.Models {
		stock.Models[i] = openapi.ModelStock{
			Model:                  m.Model,
			Ready:                  m.Ready,
			InProgress:             m.InProgress,
			Allocated:              m.Allocated,
			Failed:                 m.Failed,
			Invalid:                m.Invalid,
			WaitingForVerification: m.WaitingForVerification,
			OrdersWaiting:          m.OrdersWaiting,
			Threshold:              m.Threshold,
			Forecast:               forecast(m.Forecast),
		}
	}
	if p.Alert != nil {
		alert := StockAlert(*p.Alert)
		stock.Alert = &alert
	}
	return stock
}

func forecast(f provision.Forecast) openapi.Forecast {
	return openapi.Forecast{Days: f.Days, AllocationsPerDay: f.PerDay, Reason: Optional(f.Reason)}
}

// States of an alert.
const (
	AlertOpen         = "open"
	AlertAcknowledged = "acknowledged"
	AlertClosed       = "closed"
)

// StockAlert returns an alert as the API answers it.
func StockAlert(a provision.StockAlert) openapi.StockAlert {
	state := AlertOpen
	switch {
	case a.ClosedAt != nil:
		state = AlertClosed
	case a.AcknowledgedAt != nil:
		state = AlertAcknowledged
	}
	return openapi.StockAlert{
		ID:             a.ID,
		Marketplace:    a.Marketplace,
		Environment:    a.Environment,
		Kind:           a.Kind,
		State:          state,
		Reason:         a.Reason,
		Ready:          a.Ready,
		OrdersWaiting:  a.OrdersWaiting,
		OpenedAt:       a.OpenedAt.UTC(),
		KindSince:      a.KindSince.UTC(),
		NotifiedAt:     a.NotifiedAt.UTC(),
		Notifications:  a.Notifications,
		AcknowledgedAt: UTC(a.AcknowledgedAt),
		AcknowledgedBy: Optional(a.AcknowledgedBy),
		Note:           Optional(a.Note),
		ClosedAt:       UTC(a.ClosedAt),
	}
}

// ProtectedAccount returns a protected account as the API answers it.
func ProtectedAccount(p provision.ProtectedAccount) openapi.ProtectedAccount {
	return openapi.ProtectedAccount{AccountID: p.AccountID, Note: p.Note, CreatedAt: p.CreatedAt.UTC(), CreatedBy: p.CreatedBy}
}

// Webhook returns an endpoint for webhooks, without its secret, as the API answers it.
func Webhook(w provision.Webhook) openapi.Webhook {
	return openapi.Webhook{
		ID:              w.ID,
		Kind:            w.Kind,
		URL:             w.URL,
		EventTypes:      append([]string{}, w.EventTypes...), // never null
		Marketplaces:    OptionalSlice(w.Marketplaces),
		Description:     w.Description,
		Enabled:         w.Enabled,
		DisabledBy:      Optional(w.DisabledBy),
		DisabledBecause: Optional(w.DisabledBecause),
		DisabledAt:      UTC(w.DisabledAt),
		FailingSince:    UTC(w.FailingSince),
		LastAttempt:     lastAttempt(w),
		Queue:           openapi.WebhookQueue{Count: w.Queue.Messages, More: w.Queue.More, OldestAt: UTC(w.Queue.OldestAt)},
		Blocked:         blocked(w.Blocked),
		CreatedAt:       w.CreatedAt.UTC(),
		CreatedBy:       Optional(w.CreatedBy),
	}
}

func lastAttempt(w provision.Webhook) *openapi.LastAttempt {
	if w.LastAttemptAt == nil {
		return nil
	}
	return &openapi.LastAttempt{At: w.LastAttemptAt.UTC(), StatusCode: Optional(w.LastStatusCode), Error: Optional(w.LastError)}
}

func blocked(b *provision.BlockedDelivery) *openapi.BlockedDelivery {
	if b == nil {
		return nil
	}
	return &openapi.BlockedDelivery{
		DeliveryID: b.DeliveryID, EventID: b.EventID, EventType: b.EventType, Subject: b.Subject, Since: b.Since.UTC(),
		AttemptsMade: b.Attempts, Error: b.Error, NextAttemptAt: b.NextAttemptAt.UTC(),
	}
}

// Delivery returns a delivery of an event as the API answers it.
func Delivery(d provision.Delivery) openapi.Delivery {
	delivery := openapi.Delivery{
		ID:            d.ID,
		EventID:       d.EventID,
		EventType:     d.EventType,
		EventAt:       d.EventAt.UTC(),
		Subject:       d.Subject,
		State:         d.State,
		AttemptsMade:  d.Attempts,
		NextAttemptAt: UTC(d.NextAttemptAt),
		EndedAt:       UTC(d.EndedAt),
	}
	if d.LastAttempt != nil {
		attempt := DeliveryAttempt(*d.LastAttempt)
		delivery.LastAttempt = &attempt
	}
	return delivery
}

// DeliveryAttempt returns an attempt to deliver an event as the API answers it.
func DeliveryAttempt(a provision.DeliveryAttempt) openapi.DeliveryAttempt {
	return openapi.DeliveryAttempt{At: a.At.UTC(), StatusCode: Optional(a.StatusCode), Error: Optional(a.Error), Answer: Optional(a.Answer),
		TookMs: a.TookMS}
}

// AccountImport returns an import as the API answers it.
func AccountImport(i provision.AccountImport) openapi.AccountImport {
	return openapi.AccountImport{
		ID:         i.ID,
		State:      i.State,
		Reason:     Optional(i.Reason),
		DryRun:     i.DryRun,
		By:         i.Actor,
		RowsTotal:  i.RowsTotal,
		RowsDone:   i.RowsDone,
		Added:      i.Added,
		Unchanged:  i.Unchanged,
		Faulty:     i.Faulty,
		Messages:   i.Messages,
		StartedAt:  i.StartedAt.UTC(),
		FinishedAt: UTC(i.FinishedAt),
	}
}

// Batch returns a batch as the API shows it.
func Batch(b provision.Batch) openapi.Batch {
	return openapi.Batch{
		ID:             b.ID,
		Verb:           b.Verb,
		Targets:        b.Targets,
		State:          b.State,
		StoppedBecause: Optional(b.StoppedBecause),
		By:             b.Actor,
		Reason:         b.Reason,
		Total:          b.Total,
		Done:           b.Done,
		Refused:        b.Refused,
		Failed:         b.Failed,
		Waiting:        b.Total - b.Done - b.Refused - b.Failed,
		StartedAt:      b.StartedAt.UTC(),
		FinishedAt:     UTC(b.FinishedAt),
	}
}

// Optional returns nil for a zero value.
func Optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// OptionalSlice returns nil for an empty slice.
func OptionalSlice[T any](v []T) *[]T {
	if len(v) == 0 {
		return nil
	}
	return &v
}

// UTC returns the time in UTC; nil for nil.
func UTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
