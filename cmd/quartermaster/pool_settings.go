package main

import (
	"slices"
	"time"

	"github.com/oapi-codegen/nullable"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// poolSettingOptions are the settings of a pool; nil leaves one as it is.
type poolSettingOptions struct {
	Report           *provision.ReportKind   `help:"Kind of new report: export (CUR 2.0, Data Exports) or cur (legacy)." placeholder:"KIND"`
	ReportRegion     *string                 `help:"Region of the bucket of a new report." placeholder:"REGION"`
	ReportPrefix     *string                 `help:"Prefix of the objects of a new report."`
	ContactTypes     []string                `help:"Types of the alternate contact that are written: BILLING, OPERATIONS, SECURITY."`
	Policies         []string                `help:"ARNs of the IAM user's policies, besides IAMUserChangePassword." placeholder:"ARN"`
	Boundary         *string                 `help:"ARN of the IAM user's permissions boundary, which must allow iam:ChangePassword and iam:GetAccountPasswordPolicy. Empty: none." placeholder:"ARN"`
	OnFailure        *string                 `help:"What happens to the verified clean account of a failed order: it becomes Ready again (return), or is never used again (park)." enum:"return,park" placeholder:"return|park"`
	WaitDeadline     *time.Duration          `help:"How long an order waits for an account, such as 7d. 0: without limit."`
	ActionDeadline   *time.Duration          `help:"How long an order waits for a correction, such as 14d."`
	ProvideRootUser  *bool                   `help:"Whether results contain the root-access instructions." negatable:""`
	Instructions     map[string]string       `help:"Text for the customers of an account model, with placeholders such as {account_id}. Empty: the built-in text." placeholder:"MODEL=TEXT" mapsep:"none"`
	Threshold        *int                    `help:"The stock is low when this many accounts or fewer are Ready. -1: no threshold."`
	ModelThresholds  map[provision.Model]int `name:"model-threshold" help:"The same for a model. -1: no threshold." placeholder:"MODEL=N"`
	RenotifyInterval *time.Duration          `help:"How often an open alert is repeated."`
}

// noThreshold removes a threshold.
const noThreshold = -1

// update returns the settings that are named, as a change of a pool. Texts and thresholds of models are merged with the pool's.
func (o poolSettingOptions) update(old openapi.Pool) openapi.PoolUpdate {
	update := openapi.PoolUpdate{
		AlternateContactTypes: namedList(o.ContactTypes),
		UserPolicyArns:        namedList(o.Policies),
		ReportKind:            o.Report,
		ReportRegion:          o.ReportRegion,
		ReportPrefix:          o.ReportPrefix,
		OnFailure:             o.OnFailure,
		ProvideRootUser:       o.ProvideRootUser,
		ActionDeadlineSeconds: seconds(o.ActionDeadline),
		RenotifySeconds:       seconds(o.RenotifyInterval),

		PermissionsBoundaryARN: orNull(o.Boundary, ""),
		WaitDeadlineSeconds:    orNull(seconds(o.WaitDeadline), 0),
		StockThreshold:         orNull(o.Threshold, noThreshold),
	}
	if o.Instructions != nil {
		texts := slices.DeleteFunc(old.Instructions, func(i openapi.InstructionsOfModel) bool {
			_, replaced := o.Instructions[string(i.Model)]
			return replaced
		})
		for model, text := range o.Instructions {
			if text != "" {
				texts = append(texts, openapi.InstructionsOfModel{Model: provision.Model(model), Text: text})
			}
		}
		update.Instructions = &texts
	}
	if o.ModelThresholds != nil {
		thresholds := slices.DeleteFunc(old.ModelThresholds, func(t openapi.ModelThreshold) bool {
			_, replaced := o.ModelThresholds[t.Model]
			return replaced
		})
		for model, threshold := range o.ModelThresholds {
			if threshold != noThreshold {
				thresholds = append(thresholds, openapi.ModelThreshold{Model: model, Threshold: threshold})
			}
		}
		update.ModelThresholds = &thresholds
	}
	return update
}

// newPool returns a new pool with the settings that are named.
func (o poolSettingOptions) newPool(pool poolOptions) openapi.NewPool {
	u := o.update(openapi.Pool{Instructions: openapi.Instructions{}, ModelThresholds: openapi.ModelThresholds{}})
	return openapi.NewPool{
		Marketplace: pool.Marketplace, Environment: provision.Environment(pool.Environment),
		AlternateContactTypes: u.AlternateContactTypes, UserPolicyArns: u.UserPolicyArns, ReportKind: u.ReportKind,
		ReportRegion: u.ReportRegion, ReportPrefix: u.ReportPrefix, OnFailure: u.OnFailure, ProvideRootUser: u.ProvideRootUser,
		ActionDeadlineSeconds: u.ActionDeadlineSeconds, RenotifySeconds: u.RenotifySeconds,
		PermissionsBoundaryARN: u.PermissionsBoundaryARN, WaitDeadlineSeconds: u.WaitDeadlineSeconds, StockThreshold: u.StockThreshold,
		Instructions: u.Instructions, ModelThresholds: u.ModelThresholds,
	}
}

func seconds(d *time.Duration) *int {
	if d == nil {
		return nil
	}
	n := int(d.Seconds())
	return &n
}

// orNull returns a setting that can be removed: unset without a value, and null for the value that removes it.
func orNull[T comparable](value *T, removes T) (setting nullable.Nullable[T]) {
	switch {
	case value == nil:
	case *value == removes:
		setting.SetNull()
	default:
		setting.Set(*value)
	}
	return setting
}
