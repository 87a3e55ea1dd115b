module hep.sonic/tests/lab/go/prometheus_operator

go 1.26.0

require github.com/prometheus-operator/prometheus-operator v0.83.0
