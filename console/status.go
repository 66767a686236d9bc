package console

import (
	"encoding/json"
	"html/template"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// status is how the console shows a state: a word, an icon of its own shape, and a color.
type status struct{ Word, Icon, Class string }

// icons are drawn in a square of 16. Each kind of status has a shape of its own, because colors alone tell nothing to many people.
var icons = map[string]template.HTML{
	"good":  `<circle cx="8" cy="8" r="6"/><path d="m5.4 8.2 1.8 1.8 3.4-3.6"/>`,
	"go":    `<path d="M13.5 8A5.5 5.5 0 1 1 8 2.5"/>`,
	"wait":  `<path d="M4 2h8M4 14h8M5 2c0 4 6 4 6 6s-6 2-6 6M11 2c0 4-6 4-6 6s6 2 6 6"/>`,
	"ask":   `<path d="M8 2 15 14H1Z"/><path d="M8 6.5v3.2M8 11.9v.1"/>`,
	"bad":   `<circle cx="8" cy="8" r="6"/><path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4"/>`,
	"undo":  `<path d="M3 6h7a3.5 3.5 0 0 1 0 7H6M6 3 3 6l3 3"/>`,
	"off":   `<circle cx="8" cy="8" r="6"/><path d="M3.8 12.2 12.2 3.8"/>`,
	"quiet": `<circle cx="8" cy="8" r="2.5"/>`,
	"open":  `<circle cx="8" cy="8" r="6"/>`,
	"check": `<rect x="2" y="2" width="12" height="12" rx="2"/><path d="m5 8.2 2.2 2.2L11.2 6"/>`,
}

// icon draws one of the icons.
func icon(name string) template.HTML {
	return `<svg viewBox="0 0 16 16" aria-hidden="true">` + icons[name] + `</svg>`
}

// orderStatuses are the states of orders.
var orderStatuses = map[provision.OrderState]status{
	provision.Accepted:          {"Accepted", "quiet", "calm"},
	provision.WaitingForAccount: {"Waiting", "wait", "calm"},
	provision.Provisioning:      {"Provisioning", "go", "go"},
	provision.ActionRequired:    {"Action required", "ask", "ask"},
	provision.Completed:         {"Completed", "good", "good"},
	provision.Compensating:      {"Being undone", "undo", "undo"},
	provision.Failed:            {"Failed", "bad", "bad"},
	provision.Cancelled:         {"Cancelled", "off", "calm"},
}

// orderStatus returns how a state of an order is shown. A state that this version does not know is shown as it is.
func orderStatus(state provision.OrderState) status {
	if known, ok := orderStatuses[state]; ok {
		return known
	}
	return status{string(state), "quiet", "calm"}
}

// orderStateOf turns the name of a state into the state.
func orderStateOf(state string) provision.OrderState { return provision.OrderState(state) }

// orderState reads a state of an order from an entry of the history, in which values are JSON.
func orderState(value *json.RawMessage) (state provision.OrderState) {
	if value != nil {
		_ = json.Unmarshal(*value, &state) // what is no text is no state
	}
	return state
}

// stepStatuses are the states of steps.
var stepStatuses = map[provision.StepState]status{
	provision.StepRunning:  {"Running", "go", "go turn"},
	provision.StepRetrying: {"Retrying", "go", "go turn"},
	provision.StepStopped:  {"Stopped", "off", "calm"},
	provision.StepDone:     {"Done", "good", "good"},
	provision.StepFailed:   {"Failed", "bad", "bad"},
	provision.StepUndoing:  {"Undoing", "undo", "undo"},
	provision.StepUndone:   {"Undone", "undo", "calm"},
}

// Statuses of steps that the API does not have: one that has not begun, and one whose question is open.
var (
	stepNotBegun = status{"Not begun", "open", "calm"}
	stepAsks     = status{"Asks", "ask", "ask"}
)

// stepStatus returns how a state of a step is shown.
func stepStatus(state provision.StepState) status {
	if known, ok := stepStatuses[state]; ok {
		return known
	}
	return status{string(state), "quiet", "calm"}
}

// accountStatuses are the statuses of accounts, in the operators' words.
var accountStatuses = map[provision.AccountStatus]status{
	provision.AccountReady:              {"Ready", "good", "good"},
	provision.AccountProvisioning:       {"Provisioning in progress", "go", "go"},
	provision.AccountAllocated:          {"Allocated", "quiet", "calm"},
	provision.AccountProvisioningFailed: {"Provisioning failed", "bad", "bad"},
	provision.AccountInvalid:            {"Invalid", "off", "bad"},
	provision.AccountDeleted:            {"Deleted", "off", "calm"},
}

// accountStatus returns how a status of an account is shown.
func accountStatus(s provision.AccountStatus) status {
	if known, ok := accountStatuses[s]; ok {
		return known
	}
	return status{string(s), "quiet", "calm"}
}

// accountState returns how an account is shown: an Invalid account that becomes Ready when verification passes only waits for that.
func accountState(a openapi.Account) status {
	switch {
	case a.RemovingSince != nil:
		return status{"Being cleared", "undo", "undo"}
	case a.Status == provision.AccountInvalid && a.ReadyWhenVerified:
		return status{"To verify", "wait", "calm"}
	}
	return accountStatus(a.Status)
}

// poolStatus says in a word whether a pool has what orders need.
func poolStatus(pool openapi.PoolStock) status {
	switch {
	case pool.ClaimsSuspendedAt != nil:
		return status{"Suspended", "bad", "bad"}
	case pool.Alert != nil && pool.Alert.Kind == "empty":
		return status{"Out of stock", "bad", "bad"}
	case pool.Alert != nil:
		return status{"Low stock", "ask", "ask"}
	case pool.Ready > 0:
		return status{"In stock", "good", "good"}
	}
	return status{"Nothing Ready", "quiet", "calm"}
}

// alertStatuses are the states of alerts that are not open.
var alertStatuses = map[string]status{
	"acknowledged": {"Acknowledged", "open", "calm"},
	"closed":       {"Closed", "good", "calm"},
}

// alertStatus returns how an alert is shown: an open one by how bad it is.
func alertStatus(alert openapi.StockAlert) status {
	if known, ok := alertStatuses[alert.State]; ok {
		return known
	}
	if alert.Kind == "empty" {
		return status{"Out of stock", "bad", "bad"}
	}
	return status{"Low stock", "ask", "ask"}
}

// checkOutcomes are the outcomes of the checks of a verification.
var checkOutcomes = map[string]status{
	"passed":      {"Passed", "good", "good"},
	"failed":      {"Failed", "bad", "bad"},
	"skipped":     {"Skipped", "open", "calm"},
	"not_reached": {"Not reached", "quiet", "calm"},
}

// checkOutcome returns how the outcome of a check is shown.
func checkOutcome(outcome provision.CheckOutcome) status { return checkOutcomes[string(outcome)] }

// rowOutcomes are the outcomes of the rows of an import.
var rowOutcomes = map[provision.RowOutcome]status{
	provision.RowAdded:     {"Added", "good", "good"},
	provision.RowUnchanged: {"Unchanged", "quiet", "calm"},
	provision.RowFaulty:    {"Faulty", "bad", "bad"},
}

// rowOutcome returns how the outcome of a row is shown. A dry run adds nothing: its rows would be added.
func rowOutcome(outcome provision.RowOutcome, dryRun bool) status {
	if dryRun && outcome == provision.RowAdded {
		return status{"Can be added", "good", "good"}
	}
	return rowOutcomes[outcome]
}

// importStatus returns how an import is shown.
func importStatus(of openapi.AccountImport) status {
	switch {
	case of.State == provision.ImportRunning:
		return status{"Running", "go", "go"}
	case of.State == provision.ImportFailed:
		return status{"Failed", "bad", "bad"}
	case of.DryRun && of.Faulty > 0:
		return status{"Checked, with faults", "ask", "ask"}
	case of.DryRun:
		return status{"Checked", "good", "good"}
	case of.Faulty > 0:
		return status{"Completed, with faults", "ask", "ask"}
	}
	return status{"Completed", "good", "good"}
}

// byDeliveries is the actor of the service itself, which disables webhooks that are not accepted.
const byDeliveries = "deliveries"

// webhookStatus says whether the messages of a webhook arrive.
func webhookStatus(w openapi.Webhook) status {
	switch {
	case !w.Enabled && w.DisabledBy != nil && *w.DisabledBy == byDeliveries:
		return status{"Off, not accepted", "ask", "ask"}
	case !w.Enabled:
		return status{"Off", "off", "calm"}
	case w.FailingSince != nil:
		return status{"Failing", "bad", "bad"}
	case w.LastAttempt != nil:
		return status{"Arriving", "good", "good"}
	case w.Queue.Count > 0:
		return status{"Waiting", "wait", "calm"}
	}
	return status{"Nothing sent yet", "quiet", "calm"}
}

// deliveryStatuses are the states of messages.
var deliveryStatuses = map[provision.DeliveryState]status{
	provision.DeliveryPending:   {"Waiting", "wait", "calm"},
	provision.DeliveryDelivered: {"Delivered", "good", "good"},
	provision.DeliveryFailed:    {"Failed", "bad", "bad"},
}

// deliveryStatus returns how a state of a message is shown.
func deliveryStatus(state provision.DeliveryState) status {
	if known, ok := deliveryStatuses[state]; ok {
		return known
	}
	return status{string(state), "quiet", "calm"}
}

// callbackStatus says whether callbacks of orders can be sent.
func callbackStatus(secret openapi.CallbackSecret) status {
	switch {
	case secret.Exists:
		return status{"Signed", "good", "good"}
	case secret.Held > 0:
		return status{"Messages wait", "ask", "ask"}
	}
	return status{"No secret yet", "open", "calm"}
}

// KeyStatus says whether an API key works, and whether it soon does not.
func (p *page) KeyStatus(k openapi.APIKey) status {
	switch {
	case k.RevokedAt != nil:
		return status{"Revoked", "off", "calm"}
	case !p.Works(k):
		return status{"Expired", "off", "calm"}
	case k.ReplacedBy != nil:
		return status{"Replaced", "undo", "calm"}
	case k.ExpiresAt != nil && k.ExpiresAt.Sub(p.Now) < provision.KeyExpiresSoon:
		return status{"Ends soon", "ask", "ask"}
	}
	return status{"Active", "good", "good"}
}

// batchOutcomes are what became of the rows of batches.
var batchOutcomes = map[provision.BatchOutcome]status{
	provision.RowWaiting: {"Waiting", "wait", "calm"},
	provision.RowDone:    {"Done", "good", "good"},
	provision.RowRefused: {"Refused", "off", "ask"},
	provision.RowFailed:  {"Failed", "bad", "bad"},
}

// batchOutcome returns how the outcome of a row is shown.
func batchOutcome(of provision.BatchOutcome) status {
	if known, ok := batchOutcomes[of]; ok {
		return known
	}
	return status{string(of), "quiet", "calm"}
}

// batchStates are the states of batches.
var batchStates = map[provision.BatchState]status{
	provision.BatchRunning:   {"Running", "go", "go turn"},
	provision.BatchCompleted: {"Completed", "good", "good"},
	provision.BatchStopped:   {"Stopped", "off", "calm"},
}

// batchState returns how the state of a batch is shown.
func batchState(of provision.BatchState) status {
	if known, ok := batchStates[of]; ok {
		return known
	}
	return status{string(of), "quiet", "calm"}
}

// thingStatus returns how the state of an order, or the status of an account, is shown.
func thingStatus(of provision.BatchTargets, state string) status {
	if of == provision.BatchOrders {
		return orderStatus(provision.OrderState(state))
	}
	return accountStatus(provision.AccountStatus(state))
}
