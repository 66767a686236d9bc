package awssim

import (
	_ "embed" // the columns
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// maxExports is the quota of exports of CUR 2.0. Every table has its own quota.
// Source: Data Exports User Guide, "Creating exports".
const maxExports = 5

// curTable is the table of CUR 2.0, the only one whose columns the simulator knows. Exports of other tables, such as
// FOCUS_1_0_AWS or CARBON_EMISSIONS, can be loaded, but CreateExport refuses them.
const curTable = "COST_AND_USAGE_REPORT"

//go:embed columns.txt
var columnsText string

// curColumns are the columns of CUR 2.0.
var curColumns = columnSet(columnsText)

func columnSet(text string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.Lines(text) {
		if name := strings.TrimSpace(line); name != "" && !strings.HasPrefix(name, "#") {
			set[name] = true
		}
	}
	return set
}

// tableSettings are the configurations of the table and the values that each accepts; nil accepts any value.
var tableSettings = map[string][]string{
	"TIME_GRANULARITY":                      {"HOURLY", "DAILY", "MONTHLY"},
	"INCLUDE_RESOURCES":                     {"TRUE", "FALSE"},
	"INCLUDE_SPLIT_COST_ALLOCATION_DATA":    {"TRUE", "FALSE"},
	"INCLUDE_MANUAL_DISCOUNT_COMPATIBILITY": {"TRUE", "FALSE"},
	"INCLUDE_CAPACITY_RESERVATION_DATA":     {"TRUE", "FALSE"},
	"INCLUDE_IAM_PRINCIPAL_DATA":            {"TRUE", "FALSE"},
	"BILLING_VIEW_ARN":                      nil,
}

var exportOperations = []operation{
	{service: "bcm-data-exports", name: "CreateExport", mutates: true, needs: needsCreateExport, do: createExport},
	{service: "bcm-data-exports", name: "GetExport", needs: needsExport, do: getExport},
	{service: "bcm-data-exports", name: "ListExports", needs: on(anyResource), do: listExports},
	{service: "bcm-data-exports", name: "DeleteExport", mutates: true, needs: needsExport, do: deleteExport},
	{service: "bcm-data-exports", name: "TagResource", mutates: true, needs: needsExport, do: tagExport},
	{service: "bcm-data-exports", name: "ListTagsForResource", needs: needsExport, do: listExportTags},
}

// exportInput is an export in its JSON form.
type exportInput struct {
	ExportArn   string `json:",omitempty"`
	Name        string
	Description string `json:",omitempty"`
	DataQuery   struct {
		QueryStatement      string
		TableConfigurations map[string]map[string]string `json:",omitempty"`
	}
	DestinationConfigurations struct {
		S3Destination struct {
			S3Bucket               string
			S3BucketOwner          string `json:",omitempty"`
			S3Prefix               string
			S3Region               string
			S3OutputConfigurations struct{ OutputType, Format, Compression, Overwrite string }
		}
	}
	RefreshCadence struct{ Frequency string }
}

func exportARN(accountID, name, uuid string) string {
	return "arn:aws:bcm-data-exports:" + homeRegion + ":" + accountID + ":export/" + name + "-" + uuid
}

func primaryView(accountID string) string {
	return "arn:aws:billing::" + accountID + ":billingview/primary"
}

// needsCreateExport returns the permissions for the export, the table that it reads, and its billing view.
func needsCreateExport(c *call) []question {
	export, _ := c.input["Export"].(map[string]any)
	name, _ := export["Name"].(string)
	context := requestTags(c.tags("ResourceTags"))
	prefix := "arn:aws:bcm-data-exports:" + homeRegion + ":" + c.accountID + ":"
	needs := []question{
		{action: "bcm-data-exports:CreateExport", resource: prefix + "export/" + name, context: context},
		{action: "bcm-data-exports:CreateExport", resource: prefix + "table/" + curTable, context: context},
		{action: "bcm-data-exports:CreateExport", resource: primaryView(c.accountID), context: context},
	}
	return append(needs, tagsNeed("bcm-data-exports:TagResource", needs[0])...)
}

func needsExport(c *call) []question {
	arn := c.text("ExportArn")
	if arn == "" {
		arn = c.text("ResourceArn")
	}
	return []question{{action: "bcm-data-exports:" + c.name, resource: arn, context: requestTags(c.tags("ResourceTags"))}}
}

func createExport(c *call) (any, *apiError) {
	var body struct{ Export exportInput }
	if err := json.Unmarshal(c.body, &body); err != nil {
		return nil, refuse(http.StatusBadRequest, "SerializationException", err.Error())
	}
	input := body.Export
	if refused := input.check(); refused != nil {
		return nil, refused
	}
	tags := c.tags("ResourceTags")
	if duplicateKey(tags) != "" {
		return nil, invalidInput("Duplicate tag keys")
	}
	draft := c.draft(c.accountID)
	if _, taken := draft.Exports[input.Name]; taken {
		return nil, invalidInput("An export with the name " + input.Name + " already exists in the account")
	}
	if draft.exportsOf(curTable) >= maxExports {
		e := refuse(http.StatusBadRequest, "ServiceQuotaExceededException", "The account has reached its limit of exports.")
		e.detail = map[string]any{"ResourceId": input.Name, "ResourceType": "export", "QuotaCode": "L-exports",
			"ServiceCode": "AWSBillingAndCostManagementDataExports"}
		return nil, e
	}
	destination := input.DestinationConfigurations.S3Destination
	source := "arn:aws:bcm-data-exports:" + homeRegion + ":" + c.accountID + ":export/" + input.Name
	if !c.mayDeliver("bcm-data-exports.amazonaws.com", destination.S3Bucket, destination.S3Region, source, "s3:PutObject") ||
		destination.S3BucketOwner != "" && destination.S3BucketOwner != c.sim.buckets[destination.S3Bucket] {
		return nil, invalidInput(bucketPermissionMessage)
	}
	export := input.export()
	export.ARN = exportARN(c.accountID, input.Name, c.sim.uuid())
	export.Created = c.sim.now().Truncate(time.Second)
	// AWS adds the billing view of the export, so a read never returns exactly what was sent.
	if export.TableConfigurations[curTable]["BILLING_VIEW_ARN"] == "" {
		settings := map[string]string{"BILLING_VIEW_ARN": primaryView(c.accountID)}
		maps.Copy(settings, export.TableConfigurations[curTable])
		put(&export.TableConfigurations, curTable, settings)
	}
	for _, t := range tags {
		put(&export.Tags, t.Key, t.Value)
	}
	put(&draft.Exports, input.Name, export)
	c.effect("export/"+input.Name, "created")
	c.dropTestObject(export.S3Bucket)
	return map[string]string{"ExportArn": export.ARN}, nil
}

var queryPattern = regexp.MustCompile(`(?is)\A\s*SELECT\s+(.+?)\s+FROM\s+(\w+)\b`)

// table returns the table that an export reads; "" when its query names none.
func (e Export) table() string {
	query := queryPattern.FindStringSubmatch(e.QueryStatement)
	if query == nil {
		return ""
	}
	return strings.ToUpper(query[2])
}

func (a *Account) exportsOf(table string) (n int) {
	for _, e := range a.Exports {
		if e.table() == table {
			n++
		}
	}
	return n
}

// settingOf returns the table configuration that adds a column to the table; "" when the column always exists.
// Source: Data Exports User Guide, "Cost and Usage Report (CUR) 2.0: table dictionary".
func settingOf(column string) string {
	switch {
	case column == "line_item_resource_id":
		return "INCLUDE_RESOURCES"
	case column == "line_item_iam_principal":
		return "INCLUDE_IAM_PRINCIPAL_DATA"
	case strings.HasPrefix(column, "split_line_item_"):
		return "INCLUDE_SPLIT_COST_ALLOCATION_DATA"
	case strings.HasPrefix(column, "capacity_reservation_"):
		return "INCLUDE_CAPACITY_RESERVATION_DATA"
	}
	return ""
}

// check refuses columns and settings that the table does not have, and combinations of outputs that AWS refuses.
func (e exportInput) check() *apiError {
	query := queryPattern.FindStringSubmatch(e.DataQuery.QueryStatement)
	if query == nil {
		return invalidInput("The query statement is not a valid SQL SELECT statement")
	}
	if query[2] != curTable {
		return invalidInput("The table " + query[2] + " does not exist")
	}
	for table, settings := range e.DataQuery.TableConfigurations {
		if table != curTable {
			return invalidInput("Table configurations name the table " + table + ", which the query does not read")
		}
		for name, value := range settings {
			values, known := tableSettings[name]
			if !known || values != nil && !anyMatch(values, value, false) {
				return invalidInput("The table configuration " + name + "=" + value + " is not valid")
			}
		}
	}
	settings := e.DataQuery.TableConfigurations[curTable]
	for column := range strings.SplitSeq(query[1], ",") {
		// A column may have an alias, or be a key of a map column.
		name, _, _ := strings.Cut(strings.ToLower(strings.Join(strings.Fields(column), " ")), " ")
		name, _, _ = strings.Cut(name, ".")
		if setting := settingOf(name); !curColumns[name] || setting != "" && settings[setting] != "TRUE" {
			return invalidInput("The columns in the query provided are not a subset of the table")
		}
	}
	output := e.DestinationConfigurations.S3Destination.S3OutputConfigurations
	if (output.Format == "PARQUET") != (output.Compression == "PARQUET") {
		return invalidInput("The format " + output.Format + " cannot be compressed by " + output.Compression)
	}
	return nil
}

func (e exportInput) export() Export {
	destination := e.DestinationConfigurations.S3Destination
	output := destination.S3OutputConfigurations
	return Export{
		Description: e.Description, QueryStatement: e.DataQuery.QueryStatement, TableConfigurations: e.DataQuery.TableConfigurations,
		S3Bucket: destination.S3Bucket, S3BucketOwner: destination.S3BucketOwner,
		S3Prefix: destination.S3Prefix, S3Region: destination.S3Region,
		OutputType: output.OutputType, Format: output.Format, Compression: output.Compression, Overwrite: output.Overwrite,
	}
}

// wire is the inverse of exportInput.export.
func (e Export) wire(name string) exportInput {
	out := exportInput{ExportArn: e.ARN, Name: name, Description: e.Description}
	out.DataQuery.QueryStatement, out.DataQuery.TableConfigurations = e.QueryStatement, e.TableConfigurations
	destination := &out.DestinationConfigurations.S3Destination
	destination.S3Bucket, destination.S3BucketOwner, destination.S3Prefix, destination.S3Region = e.S3Bucket, e.S3BucketOwner, e.S3Prefix,
		e.S3Region
	output := &destination.S3OutputConfigurations
	output.OutputType, output.Format, output.Compression, output.Overwrite = e.OutputType, e.Format, e.Compression, e.Overwrite
	out.RefreshCadence.Frequency = "SYNCHRONOUS"
	return out
}

// status returns an export's status. Before the first refresh it has only dates.
func (e Export) status() map[string]any {
	status := map[string]any{}
	if !e.Created.IsZero() {
		status["CreatedAt"], status["LastUpdatedAt"] = timestamp(e.Created), timestamp(e.Created)
	}
	if !e.LastRefreshed.IsZero() {
		status["LastRefreshedAt"] = timestamp(e.LastRefreshed)
	}
	if e.StatusCode != "" {
		status["StatusCode"] = e.StatusCode
	}
	if e.StatusReason != "" {
		status["StatusReason"] = e.StatusReason
	}
	return status
}

func noSuchExport(arn string) *apiError {
	e := refuse(http.StatusBadRequest, "ResourceNotFoundException", "The export "+arn+" does not exist.")
	e.detail = map[string]any{"ResourceId": arn, "ResourceType": "export"}
	return e
}

func getExport(c *call) (any, *apiError) {
	arn := c.text("ExportArn")
	name, export, ok := c.view().export(arn)
	if !ok {
		return nil, noSuchExport(arn)
	}
	return map[string]any{"Export": export.wire(name), "ExportStatus": export.status()}, nil
}

func listExports(c *call) (any, *apiError) {
	view := c.view()
	names, next, refused := c.page(keys(view.Exports), c.number("MaxResults", 300))
	if refused != nil {
		return nil, refused
	}
	exports := []map[string]any{}
	for _, name := range names {
		export := view.Exports[name]
		exports = append(exports, map[string]any{"ExportArn": export.ARN, "ExportName": name, "ExportStatus": export.status()})
	}
	return listAnswer("Exports", exports, next), nil
}

func deleteExport(c *call) (any, *apiError) {
	arn, draft := c.text("ExportArn"), c.draft(c.accountID)
	name, _, ok := draft.export(arn)
	if !ok {
		return nil, noSuchExport(arn)
	}
	delete(draft.Exports, name)
	c.effect("export/"+name, "deleted")
	return map[string]string{"ExportArn": arn}, nil
}

func tagExport(c *call) (any, *apiError) {
	arn, draft := c.text("ResourceArn"), c.draft(c.accountID)
	name, export, ok := draft.export(arn)
	if !ok {
		return nil, noSuchExport(arn)
	}
	for _, t := range c.tags("ResourceTags") {
		put(&export.Tags, t.Key, t.Value)
	}
	draft.Exports[name] = export
	c.effect("export/"+name, "tagged")
	return nil, nil
}

func listExportTags(c *call) (any, *apiError) {
	arn := c.text("ResourceArn")
	_, export, ok := c.view().export(arn)
	if !ok {
		return nil, noSuchExport(arn)
	}
	return map[string]any{"ResourceTags": tagList(export.Tags)}, nil
}
