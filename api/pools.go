package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oapi-codegen/nullable"

	"quartermaster/internal/provision"
)

// poolCursor is a place in the list of pools.
type poolCursor struct {
	Marketplace string                `json:"m"`
	Environment provision.Environment `json:"e"`
}

// ListPools answers GET /v1/pools.
func (s *server) ListPools(ctx context.Context, in ListPoolsRequestObject) (ListPoolsResponseObject, error) {
	after, err := decodeCursor(in.Params.Cursor, func(c poolCursor) bool {
		return c.Marketplace != "" && !strings.ContainsRune(c.Marketplace+string(c.Environment), 0)
	})
	if err != nil {
		return nil, err
	}
	size, from := pageSize(in.Params.Limit), value(after)
	found, err := s.Pools.List(ctx, provision.Pool{Provider: callerOf(ctx).Provider, Marketplace: from.Marketplace, Environment: from.Environment}, size+1)
	if err != nil {
		return nil, err
	}
	shown, more := page(found, size)
	answer := ListPools200JSONResponse{Items: make([]Pool, len(shown))}
	for i, c := range shown {
		answer.Items[i] = poolResource(c)
	}
	if more {
		answer.NextCursor = encodeCursor(poolCursor{shown[size-1].Marketplace, shown[size-1].Environment})
	}
	return answer, nil
}

// CreatePool answers POST /v1/pools.
func (s *server) CreatePool(ctx context.Context, in CreatePoolRequestObject) (CreatePoolResponseObject, error) {
	who := callerOf(ctx)
	config := provision.DefaultPool(provision.Pool{Provider: who.Provider, Marketplace: in.Body.Marketplace, Environment: in.Body.Environment})
	form := settingsOf(*in.Body)
	if wrong := form.twice(); len(wrong) > 0 {
		return nil, invalidFields(wrong...)
	}
	form.apply(&config)
	made, err := s.Pools.Create(ctx, who.Actor(), config)
	address := "/v1/pools/" + config.Marketplace + "/" + string(config.Environment)
	if errors.Is(err, provision.ErrConflict) {
		return nil, problem(codeConflict, "there is a pool %s/%s already: change it with PATCH %s", config.Marketplace, config.Environment, address).because(err)
	}
	if err != nil {
		return nil, form.refused(err)
	}
	return CreatePool201JSONResponse{Body: poolResource(made), Headers: CreatePool201ResponseHeaders{Location: s.basePath + address, ETag: etagOf(made.Version)}}, nil
}

// GetPool answers GET /v1/pools/{marketplace}/{environment}.
func (s *server) GetPool(ctx context.Context, in GetPoolRequestObject) (GetPoolResponseObject, error) {
	config, err := s.Pools.Get(ctx, provision.Pool{Provider: callerOf(ctx).Provider, Marketplace: in.Marketplace, Environment: in.Environment})
	if errors.Is(err, provision.ErrNotFound) {
		return nil, noSuchPool(in.Marketplace, in.Environment, err)
	}
	if err != nil {
		return nil, err
	}
	return GetPool200JSONResponse{Body: poolResource(config), Headers: GetPool200ResponseHeaders{ETag: etagOf(config.Version)}}, nil
}

// UpdatePool answers PATCH /v1/pools/{marketplace}/{environment}.
func (s *server) UpdatePool(ctx context.Context, in UpdatePoolRequestObject) (UpdatePoolResponseObject, error) {
	version, err := neededVersion("pool", in.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	form := poolForm{*in.Body}
	if wrong := form.twice(); len(wrong) > 0 {
		return nil, invalidFields(wrong...)
	}
	who := callerOf(ctx)
	config, err := s.Pools.Update(ctx, who.Actor(), provision.Pool{Provider: who.Provider, Marketplace: in.Marketplace, Environment: in.Environment}, version, form.apply)
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return nil, noSuchPool(in.Marketplace, in.Environment, err)
	case errors.Is(err, provision.ErrStale):
		return nil, stale("pool "+in.Marketplace+"/"+string(in.Environment), err)
	case err != nil:
		return nil, form.refused(err)
	}
	return UpdatePool200JSONResponse{Body: poolResource(config), Headers: UpdatePool200ResponseHeaders{ETag: etagOf(config.Version)}}, nil
}

// ListPoolHistory answers GET /v1/pools/{marketplace}/{environment}/history.
func (s *server) ListPoolHistory(ctx context.Context, in ListPoolHistoryRequestObject) (ListPoolHistoryResponseObject, error) {
	after, err := decodeCursor(in.Params.Cursor, func(c eventCursor) bool { return c.Seq > 0 })
	if err != nil {
		return nil, err
	}
	size := pageSize(in.Params.Limit)
	found, err := s.Pools.History(ctx, provision.Pool{Provider: callerOf(ctx).Provider, Marketplace: in.Marketplace, Environment: in.Environment}, value(after).Seq, size+1)
	if errors.Is(err, provision.ErrNotFound) {
		return nil, noSuchPool(in.Marketplace, in.Environment, err)
	}
	if err != nil {
		return nil, err
	}
	shown, more := page(found, size)
	answer := ListPoolHistory200JSONResponse{Items: make([]PoolHistoryEntry, len(shown))}
	for i, e := range shown {
		answer.Items[i] = PoolHistoryEntry{At: e.At.UTC(), Actor: e.Actor, What: e.What, From: rawJSON(e.Old), To: rawJSON(e.New)}
	}
	if more {
		answer.NextCursor = encodeCursor(eventCursor{shown[size-1].Seq})
	}
	return answer, nil
}

func rawJSON(text []byte) *json.RawMessage {
	if text == nil {
		return nil
	}
	return (*json.RawMessage)(&text)
}

func noSuchPool(marketplace string, environment provision.Environment, err error) error {
	return problem(codeNotFound, "there is no pool %s/%s", marketplace, environment).because(err)
}

// poolForm is settings as the API takes them.
type poolForm struct{ PoolUpdate }

func settingsOf(form NewPool) poolForm {
	return poolForm{PoolUpdate{
		ActionDeadlineSeconds: form.ActionDeadlineSeconds, AlternateContactTypes: form.AlternateContactTypes, Instructions: form.Instructions,
		ModelThresholds: form.ModelThresholds, OnFailure: form.OnFailure, PermissionsBoundaryARN: form.PermissionsBoundaryARN, ProvideRootUser: form.ProvideRootUser,
		RenotifySeconds: form.RenotifySeconds, ReportKind: form.ReportKind, ReportPrefix: form.ReportPrefix, ReportRegion: form.ReportRegion,
		StockThreshold: form.StockThreshold, UserPolicyArns: form.UserPolicyArns, WaitDeadlineSeconds: form.WaitDeadlineSeconds,
	}}
}

// apply changes what the form names.
func (f poolForm) apply(c *provision.PoolConfig) {
	set(&c.Settings.AlternateContactTypes, f.AlternateContactTypes)
	set(&c.Settings.ReportKind, f.ReportKind)
	set(&c.Settings.ReportRegion, f.ReportRegion)
	set(&c.Settings.ReportPrefix, f.ReportPrefix)
	set(&c.Settings.UserPolicyARNs, f.UserPolicyArns)
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
	if f.ProvideRootUser != nil {
		c.Settings.WithoutRootAccess = !*f.ProvideRootUser
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

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// orZero is the value, or the zero value for null.
func orZero[T any](n nullable.Nullable[T]) T {
	v, _ := n.Get()
	return v
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

// models are the account models that a list of the form names, in its sequence.
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

// twice finds the account models that a list names more than once.
func (f poolForm) twice() (wrong []FieldProblem) {
	for _, field := range []string{provision.InstructionsField, provision.ThresholdsField} {
		seen := map[provision.Model]bool{}
		for i, model := range f.models(field) {
			if seen[model] {
				wrong = append(wrong, bodyField(fmt.Sprintf("%s.%d.model", field, i), fmt.Sprintf("%q stands there twice: name each model once", model)))
			}
			seen[model] = true
		}
	}
	return wrong
}

// refused turns the refusal of settings into a problem that points into the body.
func (f poolForm) refused(err error) error {
	var invalid *provision.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	members := map[string]string{provision.InstructionsField: "text", provision.ThresholdsField: "threshold"}
	wrong := make([]FieldProblem, len(invalid.Fields))
	for i, broken := range invalid.Fields {
		list, model, _ := strings.Cut(broken.Field, ".")
		if place := slices.Index(f.models(list), provision.Model(model)); place >= 0 {
			broken.Field = list + "." + strconv.Itoa(place) + "." + members[list]
		}
		wrong[i] = bodyField(broken.Field, broken.Message)
	}
	return invalidFields(wrong...)
}

func poolResource(c provision.PoolConfig) Pool {
	s := c.Settings
	p := Pool{
		Marketplace: c.Marketplace, Environment: c.Environment, CreatedAt: c.CreatedAt.UTC(),
		AlternateContactTypes: append(AlternateContactTypes{}, s.AlternateContactTypes...), ReportKind: s.ReportKind, ReportRegion: s.ReportRegion, ReportPrefix: s.ReportPrefix,
		UserPolicyArns: append(UserPolicies{}, s.UserPolicyARNs...), PermissionsBoundaryARN: optional(s.PermissionsBoundary), OnFailure: string(s.OnFailure),
		WaitDeadlineSeconds: optional(int(s.WaitDeadline.Seconds())), ActionDeadlineSeconds: int(s.ActionDeadline.Seconds()), ProvideRootUser: !s.WithoutRootAccess,
		Instructions: Instructions{}, StockThreshold: c.StockThreshold, ModelThresholds: ModelThresholds{}, RenotifySeconds: int(c.RenotifyEvery.Seconds()),
		VerificationSuspendedAt: utc(c.SuspendedAt), ClaimsSuspendedAt: utc(c.ClaimsSuspendedAt), ClaimsSuspendedBecause: optional(c.ClaimsSuspendedBecause),
		Warnings: optionalSlice(c.Warnings()),
	}
	for _, model := range slices.Sorted(maps.Keys(s.Instructions)) {
		p.Instructions = append(p.Instructions, InstructionsOfModel{Model: model, Text: s.Instructions[model]})
	}
	for _, model := range slices.Sorted(maps.Keys(c.ModelThresholds)) {
		p.ModelThresholds = append(p.ModelThresholds, ModelThreshold{Model: model, Threshold: c.ModelThresholds[model]})
	}
	return p
}
