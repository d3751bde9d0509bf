"""Which findings each scenario of the lab shows by its report and its plan; tests/workers/test_scenarios.py looks."""

SHOWN = {
    "hand-edited-apiserver": """
        api-away capacity-short emptydir-pods hand-edited-apiserver images-not-checked images-on-offer release-ended
        source-behind
    """,
    "crowded": """
        api-away budget-allows-none budget-guards-unhealthy budget-not-observed capacity-short cluster-locked-elsewhere
        daemonset-gone database-alone database-in-one-batch database-on-one-node database-primaries emptydir-pods
        images-on-offer objects-malformed pinned-pods release-ended single-replica source-behind two-budgets
        unmanaged-pods volumes-on-one-node
    """,
    "obstructed": """
        api-away api-service-unavailable capacity-short deprecated-api-in-use dns-version-unknown emptydir-pods
        etcd-image-pinned feature-gate-unverified hook-missing image-not-offered images-on-offer kubectl-apart
        kubelet-too-old-for-hop other-upgrader plan-breaks-skew pool-versions-differ release-ended removed-api-in-use
        removed-argument snapshot-kept-back source-behind webhook-single webhook-unanswered webhook-unseen window-closed
        window-too-short
    """,
    "neglected": """
        another-binary binary-without-package ca-expiring certificate-expired certificate-expiring certificate-missing
        certificates-external cgroup-v1 clean-up-skipped daemonset-not-ready disk-low disk-space dns-plugin-unsupported
        dpkg-interrupted emptydir-pods etcd-image-pinned etcd-versions-differ foreign-cordon freeze images-not-checked
        images-on-offer installed-not-running kernel-not-validated kubeadm-given kubectl-apart kubelet-edit-lost
        kubelet-not-running left-out-fill-pool machine-partly-unread manifest-drift manifest-missing network-fit-unknown
        network-untested no-etcdctl node-not-ready package-origin-other package-origin-unknown packages-locked
        patch-first patches-behind patches-missing patches-unused reboot-due release-ended removed-feature-gate
        removed-flag role-differs runtime-not-recommended runtime-too-old sandbox-image-old signing-key-expired
        signing-key-expiring signing-key-unchecked source-frozen source-missing source-of-another-minor
        source-unreachable sources-differ static-pod-missing stray-manifest swap-on two-member-etcd unattended-upgrades
        upgrade-config-missing version-pinned
    """,
    "skewed": """
        api-away capacity-short emptydir-pods foreign-cordon images-on-offer kube-proxy-behind kubectl-apart
        machine-without-node pool-versions-differ release-ended source-behind straggler-first
    """,
    "interrupted": """
        capacity-short emptydir-pods etcd-versions-differ images-on-offer kubeadm-config-ahead release-ended
        source-behind source-of-another-minor
    """,
    "out-of-skew": """
        api-server-emulates api-servers-apart controller-newer controller-too-old dns-deployments dockershim downgrade
        emptydir-pods etcd-before-jump etcd-versions-differ hand-edited-component images-not-checked images-on-offer
        kube-proxy-kubelet-apart kube-proxy-newer kube-proxy-too-old kubeadm-config-ahead kubeadm-config-behind
        kubeadm-of-another-minor kubectl-apart kubelet-newer kubelet-not-offered kubelet-too-old machine-missing
        manifest-drift newer-kubelet-config package-differs package-origin-unknown plan-breaks-skew pool-versions-differ
        release-ended release-unknown source-behind
    """,
    "ailing-etcd": """
        api-server-not-ready api-server-unread capacity-short cordon-left daemonset-not-ready emptydir-pods etcd-alarm
        etcd-database-large etcd-lagging etcd-learner etcd-member-unhealthy etcd-quorum-at-risk etcd-unread
        images-not-checked kubeadm-config-unread lease-left machine-partly-unread machine-unreadable node-not-ready
        not-examined release-ended source-behind traces-without-record workloads-unread
    """,
    "external-etcd": """
        api-away capacity-short emptydir-pods etcd-external etcd-lagging etcd-unread images-on-offer release-ended
        source-behind
    """,
    "bygone": """
        api-away capacity-short emptydir-pods images-on-offer kubeadm-given patches-behind release-ended
        upgrade-config-early
    """,
    "newest": """
        api-away capacity-short emptydir-pods etcd-before-jump images-on-offer kubeadm-config-old
        kubelet-setting-changes runtime-not-recommended source-behind
    """,
    "other-distribution": "not-kubeadm release-ended",
}
