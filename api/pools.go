package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oapi-codegen/nullable"

	"quartermaster/api/openapi"
	"quartermaster/api/openapi/server"
	"quartermaster/api/resource"
	"quartermaster/internal/provision"
)

// poolCursor is a place in the list of pools.
type poolCursor struct {
	Marketplace string                `json:"m"`
	Environment provision.Environment `json:"e"`
}

// ListPools answers GET /v1/pools.
func (s *service) ListPools(ctx context.Context, in server.ListPoolsRequestObject) (server.ListPoolsResponseObject, error) {
	pools, next, err := list[poolCursor, provision.PoolConfig, openapi.Pool]{
		valid: func(c poolCursor) bool {
			return c.Marketplace != "" && !strings.ContainsRune(c.Marketplace+string(c.Environment), 0)
		},
		read: func(after *poolCursor, limit int) ([]provision.PoolConfig, error) {
			place := value(after)
			return s.Pools.List(ctx, poolOf(ctx, place.Marketplace, place.Environment), limit)
		},
		show:  resource.Pool,
		place: func(c provision.PoolConfig) poolCursor { return poolCursor{c.Marketplace, c.Environment} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListPools200JSONResponse{Items: pools, NextCursor: next}, nil
}

// poolOf names a pool of the caller's provider.
func poolOf(ctx context.Context, marketplace string, environment provision.Environment) provision.Pool {
	return provision.Pool{Provider: callerOf(ctx).Provider, Marketplace: marketplace, Environment: environment}
}

// CreatePool answers POST /v1/pools.
func (s *service) CreatePool(ctx context.Context, in server.CreatePoolRequestObject) (server.CreatePoolResponseObject, error) {
	config := provision.DefaultPool(poolOf(ctx, in.Body.Marketplace, in.Body.Environment))
	form := poolFormOf(*in.Body)
	if repeated := form.repeatedModels(); len(repeated) > 0 {
		return nil, invalidFields(repeated...)
	}
	form.apply(&config)
	created, err := s.Pools.Create(ctx, callerOf(ctx).Actor(), config)
	path := "/v1/pools/" + config.Marketplace + "/" + string(config.Environment)
	if errors.Is(err, provision.ErrConflict) {
		return nil, problem(codeConflict,
			"pool %s/%s already exists: update it with PATCH %s", config.Marketplace, config.Environment, path).because(err)
	}
	if err != nil {
		return nil, form.problem(err)
	}
	return server.CreatePool201JSONResponse{
		Body:    resource.Pool(created),
		Headers: server.CreatePool201ResponseHeaders{Location: s.basePath + path, ETag: etagOf(created.Version)},
	}, nil
}

// GetPool answers GET /v1/pools/{marketplace}/{environment}.
func (s *service) GetPool(ctx context.Context, in server.GetPoolRequestObject) (server.GetPoolResponseObject, error) {
	pool := poolOf(ctx, in.Marketplace, in.Environment)
	config, err := s.Pools.Get(ctx, pool)
	if err != nil {
		return nil, poolProblem(pool, err)
	}
	return server.GetPool200JSONResponse{
		Body: resource.Pool(config), Headers: server.GetPool200ResponseHeaders{ETag: etagOf(config.Version)},
	}, nil
}

// UpdatePool answers PATCH /v1/pools/{marketplace}/{environment}.
func (s *service) UpdatePool(ctx context.Context, in server.UpdatePoolRequestObject) (server.UpdatePoolResponseObject, error) {
	match, err := requiredCondition("pool", in.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	form := poolForm{*in.Body}
	if repeated := form.repeatedModels(); len(repeated) > 0 {
		return nil, invalidFields(repeated...)
	}
	pool := poolOf(ctx, in.Marketplace, in.Environment)
	var config provision.PoolConfig
	err = match.try(func(version int64) (err error) {
		config, err = s.Pools.Update(ctx, callerOf(ctx).Actor(), pool, version, form.apply)
		return err
	})
	if err != nil {
		return nil, poolProblem(pool, form.problem(err))
	}
	return server.UpdatePool200JSONResponse{
		Body: resource.Pool(config), Headers: server.UpdatePool200ResponseHeaders{ETag: etagOf(config.Version)},
	}, nil
}

// ListPoolHistory answers GET /v1/pools/{marketplace}/{environment}/history.
func (s *service) ListPoolHistory(
	ctx context.Context, in server.ListPoolHistoryRequestObject,
) (server.ListPoolHistoryResponseObject, error) {
	pool := poolOf(ctx, in.Marketplace, in.Environment)
	entries, next, err := list[seqCursor, provision.PoolHistoryEntry, openapi.PoolHistoryEntry]{
		valid: seqCursor.valid,
		read: func(after *seqCursor, limit int) ([]provision.PoolHistoryEntry, error) {
			found, err := s.Pools.History(ctx, pool, value(after).Seq, limit)
			return found, poolProblem(pool, err)
		},
		show: func(e provision.PoolHistoryEntry) openapi.PoolHistoryEntry {
			return openapi.PoolHistoryEntry{At: e.At.UTC(), Actor: e.Actor, What: e.What, From: rawJSON(e.Old), To: rawJSON(e.New)}
		},
		place: func(e provision.PoolHistoryEntry) seqCursor { return seqCursor{e.Seq} },
	}.page(in.Params.Cursor, in.Params.Limit)
	if err != nil {
		return nil, err
	}
	return server.ListPoolHistory200JSONResponse{Items: entries, NextCursor: next}, nil
}

func rawJSON(text []byte) *json.RawMessage {
	if text == nil {
		return nil
	}
	return (*json.RawMessage)(&text)
}

// poolProblem turns an error about a pool into what the caller is told.
func poolProblem(pool provision.Pool, err error) error {
	name := "pool " + pool.Marketplace + "/" + string(pool.Environment)
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return notFound(name, err)
	case errors.Is(err, provision.ErrStale):
		return stale(name, err)
	}
	return err
}

// poolForm holds pool settings in the form in which the API receives them.
type poolForm struct{ openapi.PoolUpdate }

func poolFormOf(form openapi.NewPool) poolForm {
	return poolForm{openapi.PoolUpdate{
		ActionDeadlineSeconds: form.ActionDeadlineSeconds, AlternateContactTypes: form.AlternateContactTypes, Instructions: form.Instructions,
		ModelThresholds: form.ModelThresholds, OnFailure: form.OnFailure, PermissionsBoundaryARN: form.PermissionsBoundaryARN,
		ProvideRootUser: form.ProvideRootUser,
		RenotifySeconds: form.RenotifySeconds, ReportKind: form.ReportKind, ReportPrefix: form.ReportPrefix, ReportRegion: form.ReportRegion,
		StockThreshold: form.StockThreshold, UserPolicyArns: form.UserPolicyArns, WaitDeadlineSeconds: form.WaitDeadlineSeconds,
	}}
}

// apply changes the settings that the form contains.
func (f poolForm) apply(c *provision.PoolConfig) {
	provision.SetIfGiven(&c.Settings.AlternateContactTypes, f.AlternateContactTypes)
	provision.SetIfGiven(&c.Settings.ReportKind, f.ReportKind)
	provision.SetIfGiven(&c.Settings.ReportRegion, f.ReportRegion)
	provision.SetIfGiven(&c.Settings.ReportPrefix, f.ReportPrefix)
	provision.SetIfGiven(&c.Settings.UserPolicyARNs, f.UserPolicyArns)
	provision.SetIfGiven(&c.Settings.ProvideRootUser, f.ProvideRootUser)
	if f.PermissionsBoundaryARN.IsSpecified() {
		c.Settings.PermissionsBoundary = orZero(f.PermissionsBoundaryARN)
	}
	if f.OnFailure != nil {
		c.Settings.OnFailure = provision.OnFailure(*f.OnFailure)
	}
	if f.WaitDeadlineSeconds.IsSpecified() {
		c.Settings.WaitDeadline = seconds(orZero(f.WaitDeadlineSeconds))
	}
	if f.ActionDeadlineSeconds != nil {
		c.Settings.ActionDeadline = seconds(*f.ActionDeadlineSeconds)
	}
	if f.Instructions != nil {
		c.Settings.Instructions = map[provision.Model]string{}
		for _, of := range *f.Instructions {
			c.Settings.Instructions[of.Model] = of.Text
		}
	}
	if f.StockThreshold.IsSpecified() {
		c.StockThreshold = nil
		if threshold, err := f.StockThreshold.Get(); err == nil {
			c.StockThreshold = &threshold
		}
	}
	if f.ModelThresholds != nil {
		c.ModelThresholds = map[provision.Model]int{}
		for _, of := range *f.ModelThresholds {
			c.ModelThresholds[of.Model] = of.Threshold
		}
	}
	if f.RenotifySeconds != nil {
		c.RenotifyEvery = seconds(*f.RenotifySeconds)
	}
}

// orZero is the value, or the zero value for null.
func orZero[T any](n nullable.Nullable[T]) T {
	v, _ := n.Get()
	return v
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// models returns the account models that a list of the form names, in the order of the list.
func (f poolForm) models(field string) (named []provision.Model) {
	switch field {
	case provision.InstructionsField:
		for _, of := range value(f.Instructions) {
			named = append(named, of.Model)
		}
	case provision.ThresholdsField:
		for _, of := range value(f.ModelThresholds) {
			named = append(named, of.Model)
		}
	}
	return named
}

// repeatedModels reports the account models that a list names more than once.
func (f poolForm) repeatedModels() (repeated []openapi.FieldProblem) {
	for _, field := range []string{provision.InstructionsField, provision.ThresholdsField} {
		seen := map[provision.Model]bool{}
		for i, model := range f.models(field) {
			if seen[model] {
				repeated = append(repeated, bodyField(fmt.Sprintf("%s.%d.model", field, i),
					fmt.Sprintf("%q is listed twice: list each model once", model)))
			}
			seen[model] = true
		}
	}
	return repeated
}

// problem turns an error about settings into a problem that points into the body.
func (f poolForm) problem(err error) error {
	invalid, ok := errors.AsType[*provision.InvalidError](err)
	if !ok {
		return err
	}
	members := map[string]string{provision.InstructionsField: "text", provision.ThresholdsField: "threshold"}
	problems := make([]openapi.FieldProblem, len(invalid.Fields))
	for i, field := range invalid.Fields {
		list, model, _ := strings.Cut(field.Field, ".")
		if place := slices.Index(f.models(list), provision.Model(model)); place >= 0 {
			field.Field = list + "." + strconv.Itoa(place) + "." + members[list]
		}
		problems[i] = bodyField(field.Field, field.Message)
	}
	return invalidFields(problems...)
}

// poolRule checks that the pool exists, unless its name is already invalid.
func (s *service) poolRule(
	ctx context.Context, marketplace string, environment provision.Environment, broken []provision.FieldError,
) ([]provision.FieldError, error) {
	if slices.ContainsFunc(broken, func(e provision.FieldError) bool { return e.Field == "marketplace" || e.Field == "environment" }) {
		return broken, nil
	}
	exists, err := s.poolExists(ctx, marketplace, environment)
	if err != nil || exists {
		return broken, err
	}
	return append(broken, noPool(marketplace, environment)...), nil
}

// poolsFor is how long a pool is known to exist. A pool is never deleted, but the database may be restored from an older backup.
const poolsFor = time.Minute

// poolCache keeps when pools were last seen. A pool that does not exist is looked for each time, so a new one works at once.
type poolCache struct {
	mu   sync.Mutex
	seen map[provision.Pool]time.Time
}

// poolExists reports whether the caller has the pool. It asks the database for each pool at most once a minute.
func (s *service) poolExists(ctx context.Context, marketplace string, environment provision.Environment) (bool, error) {
	of := callerOf(ctx).Tenant
	pool := provision.Pool{Provider: of.Provider, Marketplace: marketplace, Environment: environment}
	s.pools.mu.Lock()
	seen, known := s.pools.seen[pool]
	s.pools.mu.Unlock()
	if known && of.Includes(marketplace) && s.Now().Sub(seen) < poolsFor {
		return true, nil
	}
	exists, err := s.Pools.Exists(ctx, of, marketplace, environment)
	if exists {
		s.pools.mu.Lock()
		s.pools.seen[pool] = s.Now()
		s.pools.mu.Unlock()
	}
	return exists, err
}

// noPool is the finding for an unknown pool. It names both fields, because either may be the wrong one.
func noPool(marketplace string, environment provision.Environment) []provision.FieldError {
	message := fmt.Sprintf(
		"there is no pool for marketplace %q and environment %q: correct one of them, or ask the provider to create the pool",
		marketplace, environment)
	return []provision.FieldError{{Field: "marketplace", Message: message}, {Field: "environment", Message: message}}
}
