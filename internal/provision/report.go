package provision

import "time"

// ReportKind is the AWS service that delivers a cost report.
type ReportKind string

// The kinds of report.
const (
	LegacyCUR  ReportKind = "cur"    // Cost and Usage Report, API cur
	DataExport ReportKind = "export" // CUR 2.0, API bcm-data-exports
)

// Report is the cost report that delivers the customer's usage.
type Report struct {
	Name     string     `json:"name"`
	Kind     ReportKind `json:"kind"`
	Existing bool       `json:"existing"`      // the order linked it; false: the order created it
	ARN      string     `json:"arn,omitempty"` // Data Exports only: AWS assigns it
	Bucket   string     `json:"bucket"`
	Prefix   string     `json:"prefix"`
	Region   string     `json:"region"`
	// UsageFrom is when a linked report will first contain usage; nil when it has delivered some already.
	UsageFrom *time.Time `json:"usage_from,omitempty"`
	// Warnings are what readers of a linked report need to know.
	Warnings []string `json:"warnings,omitempty"`
}
