{{- define "bayou.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52: a StatefulSet adds a hash of ten characters to this name in a label that holds 63. */}}
{{- define "bayou.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "bayou.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bayou.headless" -}}
{{- printf "%s-headless" (include "bayou.fullname" .) -}}
{{- end -}}

{{- define "bayou.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bayou.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bayou.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "bayou.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "bayou.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "bayou.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "bayou.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The Secret with the AWS variables; empty when the default chain is to find credentials. */}}
{{- define "bayou.credentialsSecret" -}}
{{- $credentials := .Values.store.credentials -}}
{{- if $credentials.existingSecret -}}
{{- $credentials.existingSecret -}}
{{- else if $credentials.accessKeyId -}}
{{- printf "%s-store" (include "bayou.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- define "bayou.advertise" -}}
{{- if .Values.advertise -}}
{{- .Values.advertise -}}
{{- else -}}
{{- $name := include "bayou.fullname" . -}}
{{- printf "%s-0.%s.%s.svc.%s:%d" $name (include "bayou.headless" .) .Release.Namespace .Values.clusterDomain (int .Values.listeners.kafka.port) -}}
{{- end -}}
{{- end -}}

{{/* The settings file. JSON is YAML, and leaves no doubt about what is text and what is a number. */}}
{{- define "bayou.settings" -}}
{{- $own := dict
  "listen" (printf "0.0.0.0:%d" (int .Values.listeners.kafka.port))
  "http" (printf "0.0.0.0:%d" (int .Values.listeners.http.port))
  "advertise" (include "bayou.advertise" .)
  "store" (default "/var/lib/bayou/store" .Values.store.url)
  "log.format" "json" -}}
{{- range $name, $value := .Values.config }}
{{- /* Numbers come as floats, which print large ones as 1e+06. */}}
{{- if kindIs "float64" $value }}{{- $value = int64 $value }}{{- end }}
{{- $_ := set $own $name $value }}
{{- end }}
{{- range $name := keys $own | sortAlpha }}
{{- printf "%s: %s\n" $name (get $own $name | toJson) }}
{{- end }}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "bayou.validate" -}}
{{- $credentials := .Values.store.credentials -}}
{{- if and $credentials.existingSecret (or $credentials.accessKeyId $credentials.secretAccessKey $credentials.sessionToken) -}}
{{- fail "store.credentials: give existingSecret or the values themselves, not both" -}}
{{- end -}}
{{- if ne (empty $credentials.accessKeyId) (empty $credentials.secretAccessKey) -}}
{{- fail "store.credentials: accessKeyId and secretAccessKey belong together" -}}
{{- end -}}
{{- if and $credentials.sessionToken (not $credentials.accessKeyId) -}}
{{- fail "store.credentials: sessionToken needs accessKeyId and secretAccessKey" -}}
{{- end -}}
{{- if and (not .Values.store.url) (or .Values.store.endpoint .Values.store.region (include "bayou.credentialsSecret" .)) -}}
{{- fail "store: endpoint, region and credentials are for an S3 store, and store.url is empty" -}}
{{- end -}}
{{- if eq (int .Values.listeners.kafka.port) (int .Values.listeners.http.port) -}}
{{- fail "listeners: kafka and http need different ports" -}}
{{- end -}}
{{- $shutdown := get .Values.config "shutdown.timeout.ms" | default 25000 | int64 -}}
{{- if le (mul .Values.terminationGracePeriodSeconds 1000) (add $shutdown 2000) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be more than two seconds longer than shutdown.timeout.ms (%d)" (int .Values.terminationGracePeriodSeconds) $shutdown) -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $budget.enabled (eq (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- fail "podDisruptionBudget: give minAvailable or maxUnavailable, and set the other one to null" -}}
{{- end -}}
{{- if and .Values.service.kafkaNodePort (eq .Values.service.type "ClusterIP") -}}
{{- fail "service.kafkaNodePort needs service.type NodePort or LoadBalancer" -}}
{{- end -}}
{{- end -}}
