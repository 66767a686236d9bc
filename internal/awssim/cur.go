package awssim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
)

// maxReports is the quota in the documentation of the API model. Some guides have said 10.
const maxReports = 5

// testObject is the object that AWS writes into the bucket of a new report or export, to check that it may.
const testObject = "aws-programmatic-access-test-object"

// bucketPermissionMessage is the only sign that the bucket's policy is missing, wrong, or not visible yet.
const bucketPermissionMessage = "Failed to verify customer bucket permission"

var curOperations = []operation{
	{service: "cur", name: "DescribeReportDefinitions", needs: on(anyResource), do: describeReportDefinitions},
	{service: "cur", name: "PutReportDefinition", mutates: true, needs: needsReport, do: putReportDefinition},
	{service: "cur", name: "ModifyReportDefinition", mutates: true, needs: needsReport, do: modifyReportDefinition},
	{service: "cur", name: "DeleteReportDefinition", mutates: true, needs: needsReport, do: deleteReportDefinition},
	{service: "cur", name: "TagResource", mutates: true, needs: needsReport, do: tagReport},
	{service: "cur", name: "ListTagsForResource", needs: needsReport, do: listReportTags},
}

// reportInput is a report definition in its JSON form.
type reportInput struct {
	ReportName string `json:"ReportName"`
	Report
	Tags any `json:"Tags,omitempty"` // hides Report.Tags: in a request, the tags are outside the definition
}

func reportARN(accountID, name string) string {
	return "arn:aws:cur:" + homeRegion + ":" + accountID + ":definition/" + name
}

func needsReport(c *call) []question {
	name := c.text("ReportName")
	if definition, ok := c.input["ReportDefinition"].(map[string]any); ok && name == "" {
		name, _ = definition["ReportName"].(string)
	}
	q := question{action: "cur:" + c.name, resource: reportARN(c.accountID, name), context: requestTags(c.tags("Tags"))}
	if c.name == "PutReportDefinition" {
		return append([]question{q}, tagsNeed("cur:TagResource", q)...)
	}
	return []question{q}
}

// tagsNeed returns the additional permission for a request that creates a resource with tags. AWS does not document whether its
// billing services require it. IAM and S3 do, so the simulator does too.
func tagsNeed(action string, create question) []question {
	if len(create.context) == 0 {
		return nil
	}
	return []question{{action: action, resource: create.resource, context: create.context}}
}

func invalidInput(message string) *apiError {
	return refuse(http.StatusBadRequest, "ValidationException", message)
}

// page returns the page of the names that begins at the NextToken, and the token of the next page; empty after the last one.
func (c *call) page(names []string, size int) (part []string, next string, refused *apiError) {
	start := 0
	if token := c.text("NextToken"); token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(names) {
			return nil, "", invalidInput("Invalid NextToken")
		}
		start = n
	}
	end := min(start+size, len(names))
	if end < len(names) {
		next = strconv.Itoa(end)
	}
	return names[start:end], next, nil
}

func describeReportDefinitions(c *call) (any, *apiError) {
	view := c.view()
	names, next, refused := c.page(keys(view.Reports), 5) // MaxResults must be 5 if it is given
	if refused != nil {
		return nil, refused
	}
	definitions := []reportInput{}
	for _, name := range names {
		definition := reportInput{ReportName: name, Report: view.Reports[name]}
		if definition.AdditionalSchemaElements == nil {
			definition.AdditionalSchemaElements = []string{}
		}
		definitions = append(definitions, definition)
	}
	return listAnswer("ReportDefinitions", definitions, next), nil
}

func listAnswer(member string, list any, next string) map[string]any {
	out := map[string]any{member: list}
	if next != "" {
		out["NextToken"] = next
	}
	return out
}

// readReport returns the definition of a request, or an error where AWS refuses it.
func (c *call) readReport() (string, Report, *apiError) {
	var input struct{ ReportDefinition reportInput }
	if err := json.Unmarshal(c.body, &input); err != nil {
		return "", Report{}, refuse(http.StatusBadRequest, "SerializationException", err.Error())
	}
	name, report := input.ReportDefinition.ReportName, input.ReportDefinition.Report
	if !report.combines() {
		return "", Report{}, invalidInput("") // AWS gives no reason
	}
	report.ReportStatus, report.Tags = nil, nil // AWS sets the status; the tags are outside the definition
	if !c.mayDeliver("billingreports.amazonaws.com", report.S3Bucket, report.S3Region, reportARN(c.accountID, name), "s3:PutObject",
		"s3:GetBucketPolicy") {
		return "", Report{}, invalidInput(bucketPermissionMessage)
	}
	return name, report, nil
}

// combines reports whether AWS accepts the combination of format, compression, artifacts and versioning.
func (r Report) combines() bool {
	parquet := r.Format == "Parquet"
	if parquet != (r.Compression == "Parquet") {
		return false
	}
	for _, artifact := range r.AdditionalArtifacts {
		if artifact != "ATHENA" && parquet {
			return false
		}
	}
	if !slices.Contains(r.AdditionalArtifacts, "ATHENA") {
		return true
	}
	return len(r.AdditionalArtifacts) == 1 && r.S3Prefix != "" && r.ReportVersioning == "OVERWRITE_REPORT" && parquet
}

// mayDeliver reports whether a billing service may perform its actions on a bucket, by the bucket's policy as far as it has
// propagated. AWS checks this when a report is created.
func (c *call) mayDeliver(principal, bucket, region, source string, actions ...string) bool {
	owner, ok := c.sim.buckets[bucket]
	if !ok {
		return false
	}
	state, ok := c.sim.view(c.sim.accounts[owner], "s3", false).Buckets[bucket]
	if !ok || state.Region != region || state.Policy == "" {
		return false
	}
	p := c.sim.mustPolicy(state.Policy)
	for _, action := range actions {
		resource := "arn:aws:s3:::" + bucket
		if action == "s3:PutObject" {
			resource += "/" + testObject
		}
		q := question{action: action, resource: resource, caller: principal, service: true, context: map[string][]string{
			"aws:sourceaccount": {c.accountID}, "aws:sourcearn": {source}, "aws:securetransport": {"true"},
		}}
		if p.evaluate(q) != allowed {
			return false
		}
	}
	return true
}

// dropTestObject writes AWS's test object into the bucket of a new report.
func (c *call) dropTestObject(bucket string) {
	owner := c.sim.buckets[bucket]
	draft := c.draft(owner)
	b := draft.Buckets[bucket]
	b.write(c.sim, testObject, 0)
	draft.Buckets[bucket] = b
	c.effectIn(owner, "object/"+bucket+"/"+testObject, "written by AWS")
}

func putReportDefinition(c *call) (any, *apiError) {
	name, report, refused := c.readReport()
	if refused != nil {
		return nil, refused
	}
	tags := c.tags("Tags")
	if duplicateKey(tags) != "" {
		return nil, invalidInput("Duplicate tag keys")
	}
	draft := c.draft(c.accountID)
	if _, taken := draft.Reports[name]; taken {
		return nil, refuse(http.StatusBadRequest, "DuplicateReportNameException",
			"A report with the name "+name+" already exists in the account. Specify a different report name.")
	}
	if len(draft.Reports) >= maxReports {
		return nil, refuse(http.StatusBadRequest, "ReportLimitReachedException",
			"This account already has five reports defined. To define a new report, you must delete an existing report.")
	}
	for _, t := range tags {
		put(&report.Tags, t.Key, t.Value)
	}
	put(&draft.Reports, name, report)
	c.effect("report/"+name, "created")
	c.dropTestObject(report.S3Bucket)
	return nil, nil
}

func modifyReportDefinition(c *call) (any, *apiError) {
	name, report, refused := c.readReport()
	if refused != nil {
		return nil, refused
	}
	draft := c.draft(c.accountID)
	old, ok := draft.Reports[c.text("ReportName")]
	if !ok || name != c.text("ReportName") {
		return nil, invalidInput("The report " + c.text("ReportName") + " does not exist or cannot be renamed")
	}
	report.ReportStatus, report.Tags = old.ReportStatus, old.Tags
	draft.Reports[name] = report
	c.effect("report/"+name, "modified")
	return nil, nil
}

func deleteReportDefinition(c *call) (any, *apiError) {
	name, draft := c.text("ReportName"), c.draft(c.accountID)
	if _, ok := draft.Reports[name]; !ok {
		return nil, invalidInput("The report " + name + " does not exist")
	}
	delete(draft.Reports, name)
	c.effect("report/"+name, "deleted")
	return map[string]string{"ResponseMessage": "Report successfully deleted"}, nil
}

func noSuchReport(name string) *apiError {
	return refuse(http.StatusBadRequest, "ResourceNotFoundException", "The report "+name+" does not exist.")
}

func tagReport(c *call) (any, *apiError) {
	name, draft := c.text("ReportName"), c.draft(c.accountID)
	report, ok := draft.Reports[name]
	if !ok {
		return nil, noSuchReport(name)
	}
	for _, t := range c.tags("Tags") {
		put(&report.Tags, t.Key, t.Value)
	}
	draft.Reports[name] = report
	c.effect("report/"+name, "tagged")
	return nil, nil
}

func listReportTags(c *call) (any, *apiError) {
	name := c.text("ReportName")
	report, ok := c.view().Reports[name]
	if !ok {
		return nil, noSuchReport(name)
	}
	return map[string]any{"Tags": tagList(report.Tags)}, nil
}
