package console

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/oapi-codegen/nullable"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// poolFormData is what the form of a pool's settings shows.
type poolFormData struct {
	Form     *form
	Pool     *openapi.Pool // nil: the pool is new
	Models   []string      // account models that may have settings of their own
	Changes  []change      // what a review shows
	Conflict []change      // what differs between the pool now and what was sent, after someone else changed it
}

// change is a value before and after, in words.
type change struct{ Label, Before, After string }

// newPool answers GET /{provider}/pools/new.
func newPool(p *page) error {
	f := p.newForm(settingValues(defaultPool()))
	if f.Value("environment") == "" {
		f.Values.Set("environment", string(provision.Production))
	}
	return p.show("pool-form", "Make a pool", poolFormData{Form: f, Models: knownModels(openapi.Pool{})})
}

// createPool answers POST /{provider}/pools/new.
func createPool(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	data := poolFormData{Form: f, Models: knownModels(openapi.Pool{})}
	update := f.poolUpdate(differing(f.Values, settingValues(defaultPool())), data.Models)
	if f.Refused != "" {
		return p.again(f, "pool-form", "Make a pool", data)
	}
	made, err := read[openapi.Pool](p.API.CreatePool(p.ctx(), openapi.NewPool{
		Marketplace: strings.TrimSpace(f.Value("marketplace")), Environment: provision.Environment(f.Value("environment")),
		ActionDeadlineSeconds: update.ActionDeadlineSeconds, AlternateContactTypes: update.AlternateContactTypes,
		Instructions: update.Instructions, ModelThresholds: update.ModelThresholds, OnFailure: update.OnFailure,
		PermissionsBoundaryARN: update.PermissionsBoundaryARN, ProvideRootUser: update.ProvideRootUser, RenotifySeconds: update.RenotifySeconds,
		ReportKind: update.ReportKind, ReportPrefix: update.ReportPrefix, ReportRegion: update.ReportRegion,
		StockThreshold: update.StockThreshold, UserPolicyArns: update.UserPolicyArns, WaitDeadlineSeconds: update.WaitDeadlineSeconds,
	}))
	if err != nil {
		if f.refuse(err, f.poolFields(update)) {
			return p.again(f, "pool-form", "Make a pool", data)
		}
		return err
	}
	return p.redirect(p.URL("pools", made.Marketplace, string(made.Environment)), "The pool is made. Add its accounts next.")
}

// poolPath is the pool that the address names.
func (p *page) poolPath() (marketplace string, environment provision.Environment) {
	return p.r.PathValue("marketplace"), provision.Environment(p.r.PathValue("environment"))
}

// editPool answers GET /{provider}/pools/{marketplace}/{environment}/edit.
func editPool(p *page) error {
	marketplace, environment := p.poolPath()
	pool, version, err := readVersion[openapi.Pool](p.API.GetPool(p.ctx(), marketplace, environment))
	if err != nil {
		return err
	}
	values := settingValues(pool)
	values.Set("version", version)
	return p.show("pool-form", "Settings of "+marketplace+" / "+string(environment),
		poolFormData{Form: p.newForm(values), Pool: &pool, Models: knownModels(pool)})
}

// updatePool answers POST /{provider}/pools/{marketplace}/{environment}/edit: it shows what would change, and makes the change once
// that was confirmed.
func updatePool(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	marketplace, environment := p.poolPath()
	pool, version, err := readVersion[openapi.Pool](p.API.GetPool(p.ctx(), marketplace, environment))
	if err != nil {
		return err
	}
	title := "Settings of " + marketplace + " / " + string(environment)
	data := poolFormData{Form: f, Pool: &pool, Models: knownModels(pool)}
	changed := differing(f.Values, settingValues(pool))
	update := f.poolUpdate(changed, data.Models)
	data.Changes = changesOf(changed, settingValues(pool), f.Values)
	switch {
	case f.Refused != "":
		return p.again(f, "pool-form", title, data)
	case f.Value("back") != "":
		return p.show("pool-form", title, data)
	case version != f.Value("version"):
		return p.poolChanged(f, version, title, data)
	case len(changed) == 0:
		f.Refused, f.Status = "Nothing is different: these are the settings that the pool has.", http.StatusUnprocessableEntity
		return p.again(f, "pool-form", title, data)
	case f.Value("confirm") == "":
		return p.show("pool-review", "Review the settings", data)
	}
	_, err = read[openapi.Pool](p.API.UpdatePool(p.ctx(), marketplace, environment,
		&openapi.UpdatePoolParams{IfMatch: new(f.Value("version"))}, update))
	if err != nil {
		if !f.refuse(err, f.poolFields(update)) {
			return err
		}
		if f.Status == http.StatusPreconditionFailed {
			if pool, version, err = readVersion[openapi.Pool](p.API.GetPool(p.ctx(), marketplace, environment)); err != nil {
				return err
			}
			return p.poolChanged(f, version, title, poolFormData{Form: f, Pool: &pool, Models: knownModels(pool),
				Changes: changesOf(differing(f.Values, settingValues(pool)), settingValues(pool), f.Values)})
		}
		return p.again(f, "pool-form", title, data)
	}
	return p.redirect(p.URL("pools", marketplace, string(environment)), "The settings are changed: "+labelsOf(changed)+".")
}

// poolChanged shows the form again after someone else had changed the pool. Sending it again overwrites that knowingly.
func (p *page) poolChanged(f *form, version, title string, data poolFormData) error {
	f.Refused, f.Status = "Someone changed these settings after you opened the form. Nothing was changed. Compare, and review again.",
		http.StatusPreconditionFailed
	f.Values.Set("version", version)
	data.Conflict, data.Changes = data.Changes, nil
	return p.again(f, "pool-form", title, data)
}

// knownModels are the account models that the form offers: the two of AWS's program, and those that the pool names.
func knownModels(pool openapi.Pool) []string {
	models := map[string]bool{string(provision.ModelSPAM): true, string(provision.ModelECAM): true}
	for _, of := range pool.ModelThresholds {
		models[string(of.Model)] = true
	}
	for _, of := range pool.Instructions {
		models[string(of.Model)] = true
	}
	return slices.Sorted(maps.Keys(models))
}

// differing returns the names of the settings that a form has and that differ from the given ones, sorted.
func differing(sent, from url.Values) (names []string) {
	for _, s := range poolSettings {
		if !slices.Equal(filled(sent[s.name]), filled(from[s.name])) {
			names = append(names, s.name)
		}
	}
	byModel := map[string]bool{}
	for _, values := range []url.Values{sent, from} {
		for name := range values {
			if (strings.HasPrefix(name, thresholdOf) || strings.HasPrefix(name, instructionOf)) &&
				!slices.Equal(filled(sent[name]), filled(from[name])) {
				byModel[name] = true
			}
		}
	}
	return append(names, slices.Sorted(maps.Keys(byModel))...)
}

// filled returns the texts that are not empty, as the API would read them.
func filled(texts []string) (kept []string) {
	for _, text := range texts {
		if text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")); text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}

func changesOf(names []string, before, after url.Values) (changes []change) {
	for _, name := range names {
		changes = append(changes, change{labelOf(name), inWords(name, filled(before[name])), inWords(name, filled(after[name]))})
	}
	return changes
}

func labelsOf(names []string) string {
	labels := make([]string, len(names))
	for i, name := range names {
		labels[i] = labelOf(name)
	}
	return strings.Join(labels, ", ")
}

// poolUpdate returns the changes that the form asks for. What cannot be read as a number or a period is refused in the form.
func (f *form) poolUpdate(changed, models []string) (update openapi.PoolUpdate) {
	for _, name := range changed {
		texts := filled(f.Values[name])
		text := strings.Join(texts, "\n")
		switch name {
		case "stock_threshold":
			update.StockThreshold = nullableOf(text, f.number(name))
		case "renotify_seconds":
			update.RenotifySeconds = new(f.period(name))
		case "wait_deadline_seconds":
			update.WaitDeadlineSeconds = nullableOf(text, f.period(name))
		case "action_deadline_seconds":
			update.ActionDeadlineSeconds = new(f.period(name))
		case "on_failure":
			update.OnFailure = &text
		case "report_kind":
			update.ReportKind = new(openapi.ReportKind(text))
		case "report_region":
			update.ReportRegion = &text
		case "report_prefix":
			update.ReportPrefix = &text
		case "alternate_contact_types":
			update.AlternateContactTypes = new(append([]string{}, texts...))
		case "user_policy_arns":
			update.UserPolicyArns = new(append([]string{}, strings.Fields(text)...))
		case "permissions_boundary_arn":
			update.PermissionsBoundaryARN = nullableOf(text, text)
		case "provide_root_user":
			update.ProvideRootUser = new(text == "true")
		}
	}
	if slices.ContainsFunc(changed, func(name string) bool { return strings.HasPrefix(name, thresholdOf) }) {
		update.ModelThresholds = new(f.thresholds(models))
	}
	if slices.ContainsFunc(changed, func(name string) bool { return strings.HasPrefix(name, instructionOf) }) {
		update.Instructions = new(f.instructions(models))
	}
	return update
}

func (f *form) thresholds(models []string) []openapi.ModelThreshold {
	of := []openapi.ModelThreshold{}
	for _, model := range models {
		if name := thresholdOf + model; len(filled(f.Values[name])) > 0 {
			of = append(of, openapi.ModelThreshold{Model: provision.Model(model), Threshold: f.number(name)})
		}
	}
	return of
}

func (f *form) instructions(models []string) []openapi.InstructionsOfModel {
	of := []openapi.InstructionsOfModel{}
	for _, model := range models {
		if texts := filled(f.Values[instructionOf+model]); len(texts) > 0 {
			of = append(of, openapi.InstructionsOfModel{Model: provision.Model(model), Text: texts[0]})
		}
	}
	return of
}

// poolFields are the form's names of the fields that the API numbers.
func (f *form) poolFields(update openapi.PoolUpdate) map[string]string {
	names := map[string]string{}
	if update.ModelThresholds != nil {
		for i, of := range *update.ModelThresholds {
			names["model_thresholds."+strconv.Itoa(i)+".threshold"] = thresholdOf + string(of.Model)
			names["model_thresholds."+strconv.Itoa(i)+".model"] = thresholdOf + string(of.Model)
		}
	}
	if update.Instructions != nil {
		for i, of := range *update.Instructions {
			names["instructions."+strconv.Itoa(i)+".text"] = instructionOf + string(of.Model)
			names["instructions."+strconv.Itoa(i)+".model"] = instructionOf + string(of.Model)
		}
	}
	for i := range listed(update.UserPolicyArns) {
		names["user_policy_arns."+strconv.Itoa(i)] = "user_policy_arns"
	}
	return names
}

// nullableOf returns the value, or null if the text is empty.
func nullableOf[T any](text string, value T) nullable.Nullable[T] {
	if text == "" {
		return nullable.NewNullNullable[T]()
	}
	return nullable.NewNullableWithValue(value)
}

// number reads a field that is a number or empty.
func (f *form) number(name string) int {
	text := strings.TrimSpace(f.Value(name))
	n, err := strconv.Atoi(strings.ReplaceAll(text, " ", ""))
	if err != nil && text != "" {
		f.wrong(name, labelOf(name)+": "+strconv.Quote(text)+" is no whole number: write digits only, or leave it empty")
	}
	return n
}

// period reads a field that is a length of time or empty.
func (f *form) period(name string) int {
	text := strings.TrimSpace(f.Value(name))
	seconds, ok := parsePeriod(text)
	if !ok && (text != "" || name != "wait_deadline_seconds") {
		f.wrong(name, labelOf(name)+": "+strconv.Quote(text)+" is no length of time: write a number and a unit, such as 14 days, 36 h or 90 min")
	}
	return seconds
}

// wrong refuses a field before the API sees it.
func (f *form) wrong(field, message string) {
	f.Refused, f.Status = "Some fields are wrong. Nothing was changed.", http.StatusUnprocessableEntity
	f.Listed = append(f.Listed, fieldMessage{field, message})
}

// Environments are the environments that a pool may have.
func (poolFormData) Environments() []option { return environments() }

func environments() []option {
	return []option{{string(provision.Production), "production"}, {string(provision.Test), "test"}}
}

// OnFailures says what may happen to a clean account of a failed order.
func (poolFormData) OnFailures() []option {
	return []option{{string(provision.OnFailureReturn), "goes back to Ready"},
		{string(provision.OnFailurePark), "is kept out until someone returns it"}}
}

// ReportKinds are the kinds of cost reports.
func (poolFormData) ReportKinds() []option {
	return []option{{string(provision.DataExport), "CUR 2.0 (Data Exports)"}, {string(provision.LegacyCUR), "legacy Cost and Usage Report"}}
}

// RootUsers says whether customers who own the root user get instructions.
func (poolFormData) RootUsers() []option {
	return []option{{"true", "in the result of the order"}, {"false", "not given"}}
}

// ContactTypes are the alternate contacts of an AWS account.
func (poolFormData) ContactTypes() []option {
	return []option{{"BILLING", "Billing"}, {"OPERATIONS", "Operations"}, {"SECURITY", "Security"}}
}
