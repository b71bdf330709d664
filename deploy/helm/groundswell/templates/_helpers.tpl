{{/* What every object is called: the release, with the chart's name where that does not say it already. */}}
{{- define "groundswell.name" -}}
{{- if contains "groundswell" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-groundswell" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* By which its parts are found: dict "top" . "part" "web" */}}
{{- define "groundswell.selector" -}}
app.kubernetes.io/name: groundswell
app.kubernetes.io/instance: {{ .top.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "groundswell.labels" -}}
{{ include "groundswell.selector" . }}
app.kubernetes.io/version: {{ .top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .top.Chart.Name .top.Chart.Version }}
{{- end }}

{{- define "groundswell.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "groundswell.secret" -}}
{{ .Values.secrets.existing | default (include "groundswell.name" .) }}
{{- end }}

{{- define "groundswell.databaseUrl" -}}
{{- if .Values.postgres.bundled -}}
postgres://groundswell:{{ required "postgres.password: the password the bundled database shall have" .Values.postgres.password }}@{{ include "groundswell.name" . }}-postgres:5432/groundswell
{{- else -}}
{{ required "postgres.url: where the database is, or postgres.bundled=true" .Values.postgres.url }}
{{- end -}}
{{- end }}

{{- define "groundswell.amqpUrl" -}}
{{- if .Values.rabbitmq.bundled -}}
amqp://groundswell:{{ required "rabbitmq.password: the password the bundled broker shall have" .Values.rabbitmq.password }}@{{ include "groundswell.name" . }}-rabbitmq:5672/%2f
{{- else -}}
{{ required "rabbitmq.url: where the broker is, or rabbitmq.bundled=true" .Values.rabbitmq.url }}
{{- end -}}
{{- end }}

{{- define "groundswell.backends" -}}
- name: DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ include "groundswell.secret" . }}, key: DATABASE_URL } }
- name: AMQP_URL
  valueFrom: { secretKeyRef: { name: {{ include "groundswell.secret" . }}, key: AMQP_URL } }
- name: METRICS_HOST
  value: 0.0.0.0
{{- end }}

{{/* Nothing runs as root, nothing writes but into its volumes: dict "user" 10001 */}}
{{- define "groundswell.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "groundswell.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Not all of a part on one machine: dict "top" . "part" "web" */}}
{{- define "groundswell.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "groundswell.selector" . | nindent 6 }}
{{- end }}
