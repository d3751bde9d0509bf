{{/* One Deployment: the bot and the worker differ in their command, their secrets and their account. */}}
{{- define "lockkeeper.labels" -}}
app.kubernetes.io/name: lockkeeper
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "lockkeeper.deployment" -}}
{{- $root := .root -}}
{{- $part := .part -}}
{{- $values := index $root.Values $part -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $root.Release.Name }}-{{ $part }}
  labels:
    {{- include "lockkeeper.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $part }}
spec:
  replicas: {{ $values.replicas }}
  selector:
    matchLabels:
      app.kubernetes.io/name: lockkeeper
      app.kubernetes.io/instance: {{ $root.Release.Name }}
      app.kubernetes.io/component: {{ $part }}
  template:
    metadata:
      labels:
        {{- include "lockkeeper.labels" $root | nindent 8 }}
        app.kubernetes.io/component: {{ $part }}
      annotations:
        checksum/config: {{ toYaml $root.Values.config | sha256sum }}
    spec:
      serviceAccountName: {{ $root.Release.Name }}-{{ $part }}
      automountServiceAccountToken: {{ $root.Values.rbac.create }}
      terminationGracePeriodSeconds: 30
      {{- with $root.Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              podAffinityTerm:
                topologyKey: kubernetes.io/hostname
                labelSelector:
                  matchLabels:
                    app.kubernetes.io/instance: {{ $root.Release.Name }}
                    app.kubernetes.io/component: {{ $part }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        fsGroup: 10001
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: {{ $part }}
          image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [{{ .verb }}]
          env:
            - name: REDIS_URL
              valueFrom:
                secretKeyRef:
                  name: {{ $root.Values.secrets.redis.name }}
                  key: {{ $root.Values.secrets.redis.key }}
            {{- if eq $part "bot" }}
            {{- range $name, $key := $root.Values.secrets.slack.env }}
            - name: {{ $name }}
              valueFrom:
                secretKeyRef:
                  name: {{ $root.Values.secrets.slack.name }}
                  key: {{ $key }}
            {{- end }}
            {{- end }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: config, mountPath: /etc/lockkeeper/lockkeeper.yaml, subPath: lockkeeper.yaml, readOnly: true}
            - {name: kubeconfigs, mountPath: /etc/lockkeeper/kubeconfigs, readOnly: true}
            {{- if eq $part "bot" }}
            - {name: signing, mountPath: /etc/lockkeeper/signing, readOnly: true}
            {{- else }}
            - {name: ssh, mountPath: /etc/lockkeeper/ssh, readOnly: true}
            {{- if $root.Values.secrets.monitoring.name }}
            - {name: monitoring, mountPath: /etc/lockkeeper/monitoring, readOnly: true}
            {{- end }}
            {{- if $root.Values.secrets.hooks.name }}
            - {name: hooks, mountPath: /etc/lockkeeper/hooks, readOnly: true}
            {{- end }}
            {{- if $root.Values.snapshots.volume }}
            - {name: snapshots, mountPath: {{ $root.Values.snapshots.mountPath }}}
            {{- end }}
            {{- end }}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: config
          {{- if $root.Values.configVolume }}
          {{- toYaml $root.Values.configVolume | nindent 10 }}
          {{- else }}
          configMap:
            name: {{ $root.Release.Name }}-config
          {{- end }}
        - name: kubeconfigs
          secret:
            secretName: {{ index $root.Values.secrets.kubeconfigs $part }}
            defaultMode: 0440
        {{- if eq $part "bot" }}
        - name: signing
          secret:
            secretName: {{ $root.Values.secrets.signing.name }}
            defaultMode: 0440
        {{- else }}
        - name: ssh
          secret:
            secretName: {{ $root.Values.secrets.ssh.name }}
            defaultMode: 0440
        {{- with $root.Values.secrets.monitoring.name }}
        - name: monitoring
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with $root.Values.secrets.hooks.name }}
        - name: hooks
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with $root.Values.snapshots.volume }}
        - name: snapshots
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- end }}
        - name: tmp
          emptyDir: {}
{{- end }}
